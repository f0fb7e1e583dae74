//! Hosting a server, over HTTP or stdio, and stopping it.
//!
//! [`layer`] makes one type of all servers, and [`guard`] stands around each. [`http`] is the way in
//! over HTTP. [`cancel`], [`open_calls`] and [`sessions`] watch over what is said about a cancelled
//! call, and `unread` over streams that nobody reads. [`between`] is a seam for servers that are
//! wrong on purpose.

pub mod between;
pub mod cancel;
pub mod guard;
pub mod http;
pub mod layer;
pub mod open_calls;
mod portable;
pub mod sessions;
mod unread;

use std::pin::pin;

use axum::Router;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::{Transport, stdio_pipes};
use rmcp::{RoleServer, ServiceExt};
use shared::stop::{BEYOND, Stop};
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::between::{Between, Tapped};
use crate::cancel::CancelAware;
use crate::guard::{Guard, Limits};
use crate::layer::Server;

/// Where a server is to be hosted, and how long.
pub struct Site {
    /// The way in.
    pub door: Door,
    /// Stops the hosting.
    pub stop: Stop,
    /// What stands between a connection and the server. Nothing, unless it is wrong on purpose.
    pub between: Between,
    /// What the server offers over HTTP beside MCP: a page of its calls, for example.
    pub beside: Router,
}

impl Site {
    /// A site with nothing between and nothing beside.
    pub fn new(door: Door, stop: Stop) -> Self {
        Self { door, stop, between: Between::default(), beside: Router::new() }
    }
}

/// The transport that a server listens on.
#[derive(Debug)]
pub enum Door {
    /// Streamable HTTP at `/mcp` and `/mcp/`, both revisions.
    Http(TcpListener),
    /// The process's own standard input and output, both revisions.
    Stdio,
}

/// Hosts the server until its site is stopped, or its only client is gone (stdio).
pub async fn host(server: Server, site: Site) -> anyhow::Result<()> {
    host_with(server, site, Limits::default()).await
}

/// The same, with limits of the caller's choice (HTTP; on stdio there is one client).
pub async fn host_with(server: Server, site: Site, limits: Limits) -> anyhow::Result<()> {
    let Site { door, stop, between, beside } = site;
    match door {
        Door::Http(listener) => {
            let streams = CancellationToken::new();
            let app = http::routes(server, &stop, between, streams.clone(), limits).merge(beside);
            http::serve(listener, app, stop, streams).await
        }
        Door::Stdio => {
            let (input, output) = stdio_pipes();
            let transport = AsyncRwTransport::new_server(input, output);
            serve(server, Tapped::new(transport, between.connection()), stop.clone()).await?;
            // The only client is gone. What works on without a request stops too, and all may
            // clean up before the process goes.
            stop.now();
            stop.settled().await;
            Ok(())
        }
    }
}

/// Serves one client in this process, and returns its end of the pipe. The pipe carries what
/// standard input and output carry.
pub fn pipe(server: Server, between: &Between, stop: Stop) -> DuplexStream {
    let (here, there) = tokio::io::duplex(64 << 10);
    let (input, output) = tokio::io::split(there);
    let transport = AsyncRwTransport::new_server(input, output);
    tokio::spawn(serve(server, Tapped::new(transport, between.connection()), stop));
    here
}

/// Serves one client over a transport of its own, until the client is gone or the server stops.
pub async fn serve<T>(server: Server, transport: T, stop: Stop) -> anyhow::Result<()>
where
    T: Transport<RoleServer> + 'static,
{
    serve_aware(server, CancelAware::silent(transport), stop).await
}

/// The same, with a say in how cancelled calls end.
pub async fn serve_aware<T>(
    server: Server,
    transport: CancelAware<T>,
    stop: Stop,
) -> anyhow::Result<()>
where
    T: Transport<RoleServer> + 'static,
{
    let server = server.with(Guard::new(stop.clone()));
    let serving = tokio::select! {
        serving = server.serve(transport) => serving?,
        () = stop.token().cancelled() => return Ok(()),
    };
    let connection = serving.cancellation_token();
    let mut serving = pin!(serving.waiting());
    tokio::select! {
        quit = &mut serving => drop(quit?),
        () = stop.settled() => {
            connection.cancel();
            // rmcp writes out the answers that it has.
            let _ = timeout(BEYOND, serving).await;
        }
    }
    Ok(())
}

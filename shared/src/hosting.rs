//! Hosting a server, over HTTP or stdio, and stopping it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::serve::ListenerExt;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService, Transport, stdio_pipes};
use rmcp::{RoleServer, ServiceExt};
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::between::{Between, Tapped};
use crate::cancel::CancelAware;
use crate::guard::Guard;
use crate::layer::Server;
use crate::sessions::Sessions;

/// Time for the last answers to reach the wire when the server stops.
const FLUSH: Duration = Duration::from_millis(100);
/// How long a stop may take, end to end.
const LIMIT: Duration = Duration::from_millis(1500);

/// Tells a server to stop, and knows whether anything still runs. Clones share it.
#[derive(Debug, Clone)]
pub struct Stop {
    token: CancellationToken,
    running: TaskTracker,
}

impl Default for Stop {
    fn default() -> Self {
        let running = TaskTracker::new();
        // A tracker must be closed before one can wait for it. It counts on all the same.
        running.close();
        Self { token: CancellationToken::new(), running }
    }
}

impl Stop {
    /// Tells the server to stop.
    pub fn now(&self) {
        self.token.cancel();
    }

    /// Returns when the server has been told to stop.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// A token that fires when the server is told to stop.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Work for which a stop waits, as long as the returned token is held.
    pub fn running(&self) -> TaskTrackerToken {
        self.running.token()
    }

    /// Waits, when a stop has been requested, until nothing runs and the last answers are out.
    /// Bounded: a tool that does not stop cannot hold up the end of the process.
    async fn settled(&self) {
        self.requested().await;
        let settled = async {
            self.running.wait().await;
            sleep(FLUSH).await;
        };
        let _ = timeout(LIMIT, settled).await;
    }
}

/// Where a server is to be hosted, and how long.
pub struct Site {
    /// The way in.
    pub door: Door,
    /// Stops the hosting.
    pub stop: Stop,
    /// What stands between a connection and the server. Nothing, unless it is wrong on purpose.
    pub between: Between,
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
    let Site { door, stop, between } = site;
    match door {
        Door::Http(listener) => {
            let streams = CancellationToken::new();
            let app = routes(server, &stop, between, streams.clone());
            serve_http(listener, app, stop, streams).await
        }
        Door::Stdio => {
            let (input, output) = stdio_pipes();
            let transport = AsyncRwTransport::new_server(input, output);
            serve(server, Tapped::new(transport, between.connection()), stop).await
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
    let server = server.with(Guard::new(stop.clone()));
    let serving = tokio::select! {
        serving = server.serve(CancelAware::silent(transport)) => serving?,
        () = stop.requested() => return Ok(()),
    };
    let connection = serving.cancellation_token();
    tokio::select! {
        quit = serving.waiting() => {
            quit?;
            // What still ran has been cancelled now that the input has ended. It may clean up
            // before the process goes.
            let _ = timeout(LIMIT, stop.running.wait()).await;
        }
        () = stop.settled() => connection.cancel(),
    }
    Ok(())
}

fn routes(server: Server, stop: &Stop, between: Between, streams: CancellationToken) -> Router {
    let server = server.with(Guard::new(stop.clone()));
    let around = between.routes();
    let config = StreamableHttpServerConfig::default()
        .with_cancellation_token(streams)
        // basic/transports: a server MUST check Origin, against DNS rebinding.
        .with_allowed_origins(["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"]);
    let sessions = Arc::new(Sessions::new(between));
    let mcp = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
    let routes = Router::new().route_service("/mcp", mcp.clone()).route_service("/mcp/", mcp);
    around(routes).layer(from_fn(say_deleted)).fallback(async |uri: Uri| {
        let path = uri.path();
        (StatusCode::NOT_FOUND, format!("nothing at {path}; the MCP endpoint is /mcp\n"))
    })
}

/// A DELETE that has ended its session is answered 204, "no content". rmcp says 202,
/// "accepted", as if the end were still to come, and the Python SDK logs that as a failure.
async fn say_deleted(request: Request, next: Next) -> Response {
    let delete = request.method() == Method::DELETE;
    let mut response = next.run(request).await;
    if delete && response.status() == StatusCode::ACCEPTED {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response
}

/// Serves these routes until `stop` has been requested and the last answers are out. Cuts what is
/// still open then with `streams`.
pub async fn serve_http(
    listener: TcpListener,
    app: Router,
    stop: Stop,
    streams: CancellationToken,
) -> anyhow::Result<()> {
    // Progress is many small writes. Nagle's algorithm would hold them back.
    let listener = listener.tap_io(|tcp| {
        let _ = tcp.set_nodelay(true);
    });
    let requested = stop.token().clone().cancelled_owned();
    let hosting = axum::serve(listener, app).with_graceful_shutdown(requested).into_future();
    // The order of a stop: the calls answer, the answers reach the wire, and only then
    // are the streams cut. Cutting first would leave every caller without a word.
    let stopping = async {
        stop.settled().await;
        streams.cancel();
        sleep(FLUSH).await;
    };
    tokio::select! {
        ended = hosting => Ok(ended?),
        () = stopping => Ok(()),
    }
}

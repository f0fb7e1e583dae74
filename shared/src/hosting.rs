//! Hosting a server, over HTTP or stdio, and stopping it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::serve::ListenerExt;
use futures::FutureExt;
use futures::future::BoxFuture;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService, stdio_pipes};
use rmcp::{ServerHandler, ServiceExt};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::guard::Guarded;
use crate::sessions::Sessions;
use crate::terminate::CancelAware;
use crate::wrong::{FlawedServer, FlawedTransport, Wrong};

/// Time for the last answers to reach the wire when the server stops.
const FLUSH: Duration = Duration::from_millis(100);
/// How long a stop may take, end to end.
const STOP: Duration = Duration::from_millis(1500);

/// Where a server is to be hosted, and how long.
#[derive(Debug)]
pub struct Site {
    /// The way in.
    pub door: Door,
    /// The flaw the server is to have, if it is to be wrong on purpose.
    pub wrong: Option<Wrong>,
    /// Stops the hosting.
    pub shutdown: CancellationToken,
}

/// The transport that a server listens on.
#[derive(Debug)]
pub enum Door {
    /// Streamable HTTP at `/mcp` and `/mcp/`, both revisions.
    Http(TcpListener),
    /// The process's own standard input and output, both revisions.
    Stdio,
}

/// Hosts the server until its site is shut down, or its only client is gone (stdio).
pub fn host<S>(server: S, site: Site) -> BoxFuture<'static, anyhow::Result<()>>
where
    S: ServerHandler + Clone,
{
    match site.wrong {
        None => serve(server, site).boxed(),
        Some(wrong) => serve(FlawedServer::new(server, wrong), site).boxed(),
    }
}

async fn serve<S: ServerHandler + Clone>(server: S, site: Site) -> anyhow::Result<()> {
    let Site { door, wrong, shutdown } = site;
    let running = TaskTracker::new();
    running.close();
    let server = Guarded::new(server, shutdown.clone(), running.clone());
    match door {
        Door::Http(listener) => {
            serve_http(listener, server, Sessions::new(wrong), running, shutdown).await
        }
        Door::Stdio => {
            let (input, output) = stdio_pipes();
            let transport = AsyncRwTransport::new_server(input, output);
            let transport = CancelAware::silent(FlawedTransport::new(transport, wrong));
            serve_stdio(transport, server, running, shutdown).await
        }
    }
}

async fn serve_http<S: ServerHandler + Clone>(
    listener: TcpListener,
    server: S,
    sessions: Sessions,
    running: TaskTracker,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let streams = CancellationToken::new();
    let config = StreamableHttpServerConfig::default()
        .with_cancellation_token(streams.clone())
        // basic/transports: a server MUST check Origin, against DNS rebinding.
        .with_allowed_origins(["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"]);
    let mcp = StreamableHttpService::new(move || Ok(server.clone()), Arc::new(sessions), config);
    let app = Router::new()
        .route_service("/mcp", mcp.clone())
        .route_service("/mcp/", mcp)
        .layer(from_fn(say_deleted))
        .fallback(async |uri: Uri| {
            (
                StatusCode::NOT_FOUND,
                format!("nothing at {}; the MCP endpoint is /mcp\n", uri.path()),
            )
        });
    // Progress is many small writes. Nagle's algorithm would hold them back.
    let listener = listener.tap_io(|tcp| {
        let _ = tcp.set_nodelay(true);
    });
    let stopped = shutdown.clone().cancelled_owned();
    let hosting = axum::serve(listener, app).with_graceful_shutdown(stopped).into_future();
    // The order of a stop: the calls answer, the answers reach the wire, and only then
    // are the streams cut. Cutting first would leave every caller without a word.
    let stop = async {
        shutdown.cancelled().await;
        let _ = timeout(STOP, async {
            running.wait().await;
            sleep(FLUSH).await;
        })
        .await;
        streams.cancel();
        sleep(FLUSH).await;
    };
    tokio::select! {
        ended = hosting => Ok(ended?),
        () = stop => Ok(()),
    }
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

async fn serve_stdio<S, T>(
    transport: T,
    server: S,
    running: TaskTracker,
    shutdown: CancellationToken,
) -> anyhow::Result<()>
where
    S: ServerHandler,
    T: rmcp::transport::Transport<rmcp::RoleServer> + 'static,
{
    let serving = tokio::select! {
        serving = server.serve(transport) => serving?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let connection = serving.cancellation_token();
    let stop = async {
        shutdown.cancelled().await;
        let _ = timeout(STOP, async {
            running.wait().await;
            sleep(FLUSH).await;
        })
        .await;
    };
    tokio::select! {
        quit = serving.waiting() => {
            quit?;
            // What still ran has been cancelled now that the input has ended. It may clean up
            // before the process goes.
            let _ = timeout(STOP, running.wait()).await;
        }
        () = stop => connection.cancel(),
    }
    Ok(())
}

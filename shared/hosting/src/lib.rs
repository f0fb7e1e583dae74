//! Hosting a server, over HTTP or stdio, and stopping it.
//!
//! [`layer`] makes one type of all servers, and [`guard`] stands around each. [`cancel`],
//! [`open_calls`] and [`sessions`] watch over what is said about a cancelled call, and `unread` over
//! streams that nobody reads. [`between`] is
//! a seam for servers that are wrong on purpose.

pub mod between;
pub mod cancel;
pub mod guard;
pub mod layer;
pub mod open_calls;
mod portable;
pub mod sessions;
mod unread;

use std::error::Error;
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use futures::StreamExt;
use http_body_util::LengthLimitError;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::streamable_http_server::session::{SessionId, SessionManager as _};
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService, Transport, stdio_pipes};
use rmcp::{RoleServer, ServiceExt};
use serde::Deserialize;
use serde::de::IgnoredAny;
use shared::stop::{BEYOND, Stop};
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::between::{Between, Tapped};
use crate::cancel::CancelAware;
use crate::guard::{Guard, Limits};
use crate::layer::Server;
use crate::sessions::Sessions;

/// In how many seconds a client that found no room for its session may try again.
const SESSION_RETRY: &str = "30";
/// The longest body of a request, in bytes.
pub const MAX_BODY: usize = 4 << 20;

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
            let app = routes(server, &stop, between, streams.clone(), limits).merge(beside);
            serve_http(listener, app, stop, streams).await
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

fn routes(
    server: Server,
    stop: &Stop,
    between: Between,
    streams: CancellationToken,
    limits: Limits,
) -> Router {
    let server = server.with(Guard::with_limits(stop.clone(), limits));
    let around = between.routes();
    let config = StreamableHttpServerConfig::default()
        .with_cancellation_token(streams)
        // basic/transports: a server MUST check Origin, against DNS rebinding.
        .with_allowed_origins(["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"]);
    let sessions = Arc::new(Sessions::new(between, limits.sessions));
    let (full, deleted) = (Arc::clone(&sessions), Arc::clone(&sessions));
    let mcp = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
    let routes = Router::new().route_service("/mcp", mcp.clone()).route_service("/mcp/", mcp);
    let routes = around(routes.layer(from_fn(ends_with_its_answer)))
        .layer(from_fn(move |request, next| say_full(Arc::clone(&full), request, next)))
        .layer(from_fn(move |request, next| say_deleted(Arc::clone(&deleted), request, next)));
    let routes = whole_requests(routes, limits.body);
    routes.fallback(async |uri: Uri| {
        let path = uri.path();
        (StatusCode::NOT_FOUND, format!("nothing at {path}; the MCP endpoint is /mcp\n"))
    })
}

/// These routes, for requests whose body has come, within this time, and which name a session only
/// where there are sessions.
pub fn whole_requests(routes: Router, body: Duration) -> Router {
    routes
        .layer(from_fn(move |request, next| whole(body, request, next)))
        .layer(from_fn(no_stray_session))
}

/// Nothing follows the answer of a call. rmcp takes answers and notifications from two queues in no
/// fixed order, so progress that a tool began to send and gave up can come late. Where there are
/// sessions, and on stdio, [`CancelAware`] drops it; without a session, this does.
async fn ends_with_its_answer(request: Request, next: Next) -> Response {
    let in_session = request.headers().contains_key("mcp-session-id");
    let response = next.run(request).await;
    if in_session || !is_stream(&response) {
        return response;
    }
    let mut answered = false;
    response.map(|body| {
        // rmcp gives each event a frame of its own.
        Body::from_stream(body.into_data_stream().take_while(move |event| {
            let open = !answered;
            answered |= event.as_ref().is_ok_and(|event| is_answer(event));
            ready(open)
        }))
    })
}

/// A message without a method is an answer. A comment or a hint to retry is no message.
fn is_answer(event: &[u8]) -> bool {
    let mut lines = event.split(|byte| *byte == b'\n');
    let data = lines.find_map(|line| line.strip_prefix(b"data:"));
    let message = data.and_then(|data| serde_json::from_slice::<Message>(data).ok());
    message.is_some_and(|message| message.method.is_none())
}

/// As much of a message as tells what it is.
#[derive(Deserialize)]
struct Message {
    method: Option<IgnoredAny>,
}

fn is_stream(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// A DELETE that has ended its session is answered 204, "no content", and one of a session that
/// nobody knows 404. rmcp says 202 to both, "accepted", as if the end were still to come, and the
/// Python SDK logs that as a failure.
async fn say_deleted(sessions: Arc<Sessions>, request: Request, next: Next) -> Response {
    let id = request.headers().get("mcp-session-id").and_then(|id| id.to_str().ok());
    let delete = (request.method() == Method::DELETE).then(|| SessionId::from(id.unwrap_or("")));
    let known = match &delete {
        Some(id) => sessions.has_session(id).await.unwrap_or(false),
        None => false,
    };
    let mut response = next.run(request).await;
    if delete.is_some() && response.status() == StatusCode::ACCEPTED {
        if !known {
            return (StatusCode::NOT_FOUND, "no such session; it may have ended\n").into_response();
        }
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response
}

/// 2026-07-28 has no sessions. A header that names one must not count as one.
async fn no_stray_session(mut request: Request, next: Next) -> Response {
    let headers = request.headers_mut();
    if headers.get("mcp-protocol-version").is_some_and(|version| version == "2026-07-28") {
        headers.remove("mcp-session-id");
    }
    next.run(request).await
}

/// No room for a further session is 503, with the time after which to try again. rmcp says 500.
async fn say_full(sessions: Arc<Sessions>, request: Request, next: Next) -> Response {
    let opens = !request.headers().contains_key("mcp-session-id");
    let response = next.run(request).await;
    match sessions.full() {
        Some(why) if opens && response.status() == StatusCode::INTERNAL_SERVER_ERROR => {
            let retry = [(header::RETRY_AFTER, SESSION_RETRY)];
            let why = format!("{why}; try again in {SESSION_RETRY} s\n");
            (StatusCode::SERVICE_UNAVAILABLE, retry, why).into_response()
        }
        _ => response,
    }
}

/// Waits for the whole body, but not for ever: a client that sends a byte a minute would hold a
/// connection and a buffer.
async fn whole(patience: Duration, request: Request, next: Next) -> Response {
    let (mut head, body) = request.into_parts();
    detach(&mut head);
    match timeout(patience, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(head, Body::from(body))).await,
        Ok(Err(error)) if error.source().is_some_and(<dyn Error>::is::<LengthLimitError>) => {
            let why = format!("a body may have {MAX_BODY} bytes\n");
            (StatusCode::PAYLOAD_TOO_LARGE, why).into_response()
        }
        Ok(Err(_)) => (StatusCode::BAD_REQUEST, "the body did not come whole\n").into_response(),
        Err(_) => {
            let why = format!("the body did not arrive within {patience:?}\n");
            (StatusCode::REQUEST_TIMEOUT, why).into_response()
        }
    }
}

/// Copies what hyper has left in the connection's read buffer. rmcp keeps the head for as long as
/// the call runs, and a view of a few bytes would keep 8 KiB.
fn detach(head: &mut Parts) {
    for value in head.headers.values_mut() {
        if let Ok(own) = HeaderValue::from_bytes(value.as_bytes()) {
            *value = own;
        }
    }
    if let Ok(own) = head.uri.to_string().parse() {
        head.uri = own;
    }
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
    let waited_for = stop.clone();
    let app =
        app.layer(from_fn(move |request, next| streamed(waited_for.running(), request, next)));
    let requested = stop.token().clone().cancelled_owned();
    let hosting = axum::serve(listener, app).with_graceful_shutdown(requested).into_future();
    let mut hosting = pin!(hosting);
    tokio::select! {
        // All connections are closed. What works on without one is waited for all the same.
        ended = &mut hosting => {
            ended?;
            stop.settled().await;
            streams.cancel();
        }
        // The order of a stop: the calls answer, the answers reach the wire, and only then are the
        // streams cut that have no end. Cutting first would leave every caller without a word.
        () = stop.settled() => {
            streams.cancel();
            let _ = timeout(BEYOND / 4, hosting).await;
        }
    }
    Ok(())
}

/// The stream of a call is waited for when the server stops: its last event is the answer.
async fn streamed(running: TaskTrackerToken, request: Request, next: Next) -> Response {
    // Not that of a subscription, which has no end of its own.
    let subscribes = |method: &HeaderValue| method == "subscriptions/listen";
    let call = request.method() == Method::POST
        && !request.headers().get("mcp-method").is_some_and(subscribes);
    let response = next.run(request).await;
    if !call || !is_stream(&response) {
        return response;
    }
    response.map(|body| {
        Body::from_stream(body.into_data_stream().inspect(move |_| {
            let _held = &running;
        }))
    })
}

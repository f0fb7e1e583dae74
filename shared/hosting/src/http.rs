//! A server over HTTP: what stands before rmcp's service, and the order of a stop.

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
use rmcp::transport::streamable_http_server::session::{SessionId, SessionManager as _};
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde::Deserialize;
use serde::de::IgnoredAny;
use shared::stop::{BEYOND, Stop};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::between::Between;
use crate::guard::{Guard, Limits};
use crate::layer::Server;
use crate::sessions::Sessions;

/// In how many seconds a client that found no room for its session may try again.
const SESSION_RETRY: &str = "30";
/// The longest body of a request, in bytes.
pub const MAX_BODY: usize = 4 << 20;

/// The MCP endpoint, at `/mcp` and `/mcp/`.
pub(crate) fn routes(
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
/// sessions, and on stdio, [`CancelAware`](crate::cancel::CancelAware) drops it; without a session, this does.
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
pub async fn serve(
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

//! The practice server on HTTP: sessions of 2025-11-25, single requests of 2026-07-28.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::sleep;

use super::calls::{Outlet, Over};
use super::flaw::Flaw;
use super::{Origin, Practice};
use crate::wire::Revision;

pub async fn serve(practice: Arc<Practice>, addr: SocketAddr) -> anyhow::Result<()> {
    let listener = crate::listen(addr).await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    crate::print(&format!("practice server: {url}\n"), false)?;
    let app =
        Router::new().route("/mcp", get(came_back).post(post).delete(delete)).with_state(practice);
    Ok(axum::serve(listener, app).await?)
}

fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

async fn post(State(practice): State<Arc<Practice>>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let stateless = header(&headers, "mcp-protocol-version") == "2026-07-28";
    let revision = if stateless { Revision::Stateless } else { Revision::Handshake };
    let mut session = header(&headers, "mcp-session-id");
    let opens = message["method"] == "initialize" && !practice.is(Flaw::Sessionless);
    if opens {
        session = uuid::Uuid::new_v4().to_string();
    }
    let (to, from_server) = mpsc::unbounded_channel();
    let out = Arc::new(Outlet::new(to));
    let origin = Origin { session: session.clone(), revision, http: true, out: out.clone() };
    // From here on a client that goes away is noticed.
    let gone = Gone { practice: practice.clone(), out: out.clone(), stateless };
    practice.handle(&origin, &message).await;
    if message.get("id").is_none() {
        let cancel = message["method"] == "notifications/cancelled";
        if cancel && practice.is(Flaw::CancelTalks) {
            return one(&json!({ "cancelled": true }));
        }
        if cancel && practice.is(Flaw::CancelHangs) {
            std::future::pending::<()>().await;
        }
        return StatusCode::ACCEPTED.into_response();
    }
    let mut gone = Some(gone);
    if practice.is(Flaw::FirstByteDeaf)
        && let Some(call) = practice.call_of(&out)
    {
        let early = gone.take();
        early.into_iter().for_each(std::mem::forget);
        // Nothing is sent while the call runs: on a busy machine a client is slow to go.
        while !call.is_over() {
            sleep(Duration::from_millis(50)).await;
        }
        gone = Some(Gone { practice: practice.clone(), out: out.clone(), stateless });
    }
    if !out.is_kept_open() {
        out.close();
    }
    if practice.args.one_piece && stateless && out.is_kept_open() {
        return in_one_piece(from_server, gone).await;
    }
    let mut response = events(from_server, gone);
    if opens && let Ok(session) = session.parse() {
        response.headers_mut().insert("mcp-session-id", session);
    }
    response
}

async fn in_one_piece(mut messages: UnboundedReceiver<Value>, gone: Option<Gone>) -> Response {
    let mut last = json!(null);
    while let Some(message) = messages.recv().await {
        last = message;
    }
    drop(gone);
    one(&last)
}

fn one(message: &Value) -> Response {
    ([("content-type", "application/json")], message.to_string()).into_response()
}

/// The messages as events. With the response goes what notices that its client has gone.
fn events(mut messages: UnboundedReceiver<Value>, gone: Option<Gone>) -> Response {
    static EVENTS: AtomicU64 = AtomicU64::new(0);
    let number = gone.as_ref().map_or(usize::MAX, Gone::number);
    let body = stream::poll_fn(move |context| {
        let _held = &gone;
        messages.poll_recv(context).map(|message| {
            message.map(|message| {
                let event = EVENTS.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(format!("id: {number}-{event}\ndata: {message}\n\n"))
            })
        })
    });
    ([("content-type", "text/event-stream")], Body::from_stream(body)).into_response()
}

/// The session's own stream, or the rest of a stream that was lost.
async fn came_back(State(practice): State<Arc<Practice>>, headers: HeaderMap) -> Response {
    let session = header(&headers, "mcp-session-id");
    let (to, from_server) = mpsc::unbounded_channel();
    let last = header(&headers, "last-event-id");
    let Some((number, _)) = last.split_once('-') else {
        let mut streams = practice.get_streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.push((session, to));
        return events(from_server, None);
    };
    let number = number.parse().unwrap_or(usize::MAX);
    let found = practice.calls().iter().find(|call| call.number == number).cloned();
    match found {
        Some(call) if practice.is(Flaw::ResumeHangs) => call.out().replace(to),
        Some(call) if call.is_over() && practice.is(Flaw::ResumeDelivers) => {
            let _ = to.send(call.result());
        }
        Some(call) if !call.is_over() => call.out().replace(to),
        _ => {}
    }
    events(from_server, None)
}

async fn delete(State(practice): State<Arc<Practice>>, headers: HeaderMap) -> StatusCode {
    let session = header(&headers, "mcp-session-id");
    if !practice.is(Flaw::DeleteDeaf) {
        for call in practice.calls().iter().filter(|call| call.session == session) {
            call.stop("the session was ended", Over::Silent);
        }
    }
    StatusCode::OK
}

/// Dropped with the response, when it is over or its client has gone away.
#[derive(Debug)]
struct Gone {
    practice: Arc<Practice>,
    out: Arc<Outlet>,
    stateless: bool,
}

impl Gone {
    fn number(&self) -> usize {
        self.practice.call_of(&self.out).map_or(usize::MAX, |call| call.number)
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        let practice = &self.practice;
        // 2025-11-25: a lost connection is no cancel. 2026-07-28: it is the cancel.
        let cancels = if self.stateless {
            let deaf = if practice.args.one_piece { Flaw::OnePieceDeaf } else { Flaw::StreamDeaf };
            !practice.is(deaf)
        } else {
            practice.is(Flaw::LostIsCancelled)
        };
        if !cancels {
            return;
        }
        let Some(own) = practice.call_of(&self.out) else { return };
        let calls = practice.calls().clone();
        let clumsy = practice.is(Flaw::StreamClumsy);
        let hit =
            calls.iter().filter(|call| call.number == own.number || (clumsy && call.id == own.id));
        hit.for_each(|call| call.stop("", Over::Silent));
    }
}

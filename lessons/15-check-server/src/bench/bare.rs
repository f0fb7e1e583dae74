//! The floor: what the same messages cost if nothing but an axum handler stands behind them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::target::PROBE;

/// The streams that are open, and when the others ended.
#[derive(Debug, Default)]
struct Calls {
    open: HashMap<i64, oneshot::Sender<()>>,
    ended: HashMap<String, f64>,
}

type Shared = Arc<Mutex<Calls>>;

fn lock(calls: &Shared) -> MutexGuard<'_, Calls> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves until it is killed, and prints its URL first.
pub async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    crate::print(&format!("http://{addr}/mcp {}\n", env!("CARGO_PKG_VERSION")), false)?;
    let listener = listener.tap_io(|tcp| drop(tcp.set_nodelay(true)));
    let app = Router::new().route("/mcp", post(handle)).with_state(Shared::default());
    Ok(axum::serve(listener, app).await?)
}

async fn handle(State(calls): State<Shared>, body: Bytes) -> Response {
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let arguments = &message["params"]["arguments"];
    let label = arguments["id"].as_str();
    match (message["method"].as_str(), message["id"].as_i64()) {
        (Some("notifications/cancelled"), _) => {
            let id = message["params"]["requestId"].as_i64();
            // Dropped, the sender ends the call's stream.
            drop(id.and_then(|id| lock(&calls).open.remove(&id)));
            StatusCode::ACCEPTED.into_response()
        }
        (Some("tools/call"), Some(id)) if arguments["ask"] == true => {
            let stopped_at = label.and_then(|label| lock(&calls).ended.get(label).copied());
            let told = json!({ "running": stopped_at.is_none(), "stopped_at": stopped_at });
            answer(id, &json!({ "content": [{ "type": "text", "text": told.to_string() }] }))
        }
        (Some("tools/call"), Some(id)) => open(calls, id, label.unwrap_or_default()),
        // All that a client may want to know before.
        (_, Some(id)) => {
            let tools = json!([{ "name": PROBE }]);
            answer(
                id,
                &json!({ "protocolVersion": "2025-11-25", "supportedVersions": ["2026-07-28"],
                    "capabilities": {}, "tools": tools }),
            )
        }
        (_, None) => StatusCode::ACCEPTED.into_response(),
    }
}

fn answer(id: i64, result: &Value) -> Response {
    let body = json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string();
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// A stream with one event, which ends when it is cancelled.
fn open(calls: Shared, id: i64, label: &str) -> Response {
    let (end, ended) = oneshot::channel();
    lock(&calls).open.insert(id, end);
    let progress = json!({ "jsonrpc": "2.0", "method": "notifications/progress",
        "params": { "progressToken": id, "progress": 0 } });
    let first = Bytes::from(format!("data: {progress}\n\n"));
    let stamp = Stamp { calls, label: label.to_owned() };
    let last = async move {
        let _ = ended.await;
        drop(stamp);
        Ok::<_, Infallible>(Bytes::new())
    };
    let events = stream::once(async { Ok(first) }).chain(stream::once(last));
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

/// Notes when the stream is dropped, ended or not.
#[derive(Debug)]
struct Stamp {
    calls: Shared,
    label: String,
}

impl Drop for Stamp {
    fn drop(&mut self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let label = std::mem::take(&mut self.label);
        lock(&self.calls).ended.insert(label, now.unwrap_or_default().as_secs_f64());
    }
}

//! The scripted server on HTTP, both revisions.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::stream;
use serde_json::Value;
use tokio::sync::mpsc;

use super::{Stage, What};

pub async fn serve(stage: Arc<Stage>, addr: SocketAddr) -> anyhow::Result<()> {
    let listener = crate::listen(addr).await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    crate::print(&format!("connect your client to {url}\n"), false)?;
    crate::note("the report comes when the client calls `report`, or with Ctrl-C");
    let over = stage.over.clone();
    let stop = async move {
        tokio::select! {
            () = over.cancelled() => {}
            _ = tokio::signal::ctrl_c() => over.cancel(),
        }
        // The answer to `report` has to be written.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    let app = Router::new().route("/mcp", post(answer).delete(gone)).with_state(stage);
    tokio::select! {
        ended = axum::serve(listener, app).into_future() => Ok(ended?),
        () = stop => Ok(()),
    }
}

fn session(headers: &HeaderMap) -> String {
    let named = headers.get("mcp-session-id").and_then(|value| value.to_str().ok());
    named.unwrap_or_default().to_owned()
}

async fn answer(State(stage): State<Arc<Stage>>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let opens = message["method"] == "initialize";
    let who = if opens { uuid::Uuid::new_v4().to_string() } else { session(&headers) };
    let (out, mut messages) = mpsc::unbounded_channel::<Value>();
    let id = message.get("id").filter(|_| message["method"].is_string()).cloned();
    stage.handle(&who, &message, &out);
    let Some(id) = id else { return StatusCode::ACCEPTED.into_response() };
    // The response ends when nobody holds `out` any more.
    drop(out);
    let mut left = Left { stage, who: who.clone(), id, ended: false };
    let body = stream::poll_fn(move |context| {
        // The whole of it, not just the field: it must live as long as the response.
        let left = &mut left;
        messages.poll_recv(context).map(|message| {
            left.ended |= message.is_none();
            message.map(|message| Ok::<_, Infallible>(format!("data: {message}\n\n")))
        })
    });
    let mut response =
        ([("content-type", "text/event-stream")], Body::from_stream(body)).into_response();
    if opens && let Ok(named) = who.parse() {
        response.headers_mut().insert("mcp-session-id", named);
    }
    response
}

async fn gone(State(stage): State<Arc<Stage>>, headers: HeaderMap) -> StatusCode {
    stage.note(&session(&headers), What::Gone);
    StatusCode::OK
}

/// Dropped with the response. Before its end the client has closed it.
#[derive(Debug)]
struct Left {
    stage: Arc<Stage>,
    who: String,
    id: Value,
    ended: bool,
}

impl Drop for Left {
    fn drop(&mut self) {
        if !self.ended {
            self.stage.note(&self.who, What::Closed { id: self.id.clone() });
        }
    }
}

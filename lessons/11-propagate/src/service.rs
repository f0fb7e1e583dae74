//! Somebody else's service: plain HTTP, slow, and it knows how many streams it has open.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::routing::get;
use futures::StreamExt;
use futures::stream::unfold;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::caller::{Caller, Notes};

/// The service. It accepts nobody any more when this is dropped.
pub struct Service {
    /// Where it listens.
    pub url: String,
    /// What it noted.
    pub notes: Notes,
    open: TaskTracker,
    _end: DropGuard,
}

#[derive(Clone)]
struct Shared {
    line_every: Duration,
    notes: Notes,
    open: TaskTracker,
}

impl Service {
    /// Starts it. `GET /lines/3` streams three lines, one at a time.
    pub async fn start(line_every: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Shared { line_every, notes: Notes::default(), open: TaskTracker::new() };
        let (notes, open) = (shared.notes.clone(), shared.open.clone());
        let app = Router::new().route("/lines/{count}", get(lines)).with_state(shared);
        let end = CancellationToken::new();
        let ended = end.clone().cancelled_owned();
        tokio::spawn(async move {
            tokio::select! {
                served = axum::serve(listener, app) => drop(served),
                () = ended => {}
            }
        });
        Ok(Self { url, notes, open, _end: end.drop_guard() })
    }

    /// How many streams are open.
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

/// An open stream. The response's body owns it, so it is dropped with the body: at its end, or
/// when the client's connection is closed.
struct Stream {
    notes: Notes,
    caller: Caller,
    _open: TaskTrackerToken,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.notes.note(&self.caller, "service", "stopped");
    }
}

async fn lines(State(shared): State<Shared>, Path(count): Path<u32>, request: Request) -> Body {
    // The same trace context, here in the header that it has in plain HTTP.
    let header = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let caller = Caller::from_parent(header, CancellationToken::new());
    let Shared { line_every, notes, open } = shared;
    notes.note(&caller, "service", "starts");
    let stream = Stream { notes, caller, _open: open.token() };
    let lines = unfold((stream, count), move |(stream, left)| async move {
        let left = left.checked_sub(1)?;
        sleep(line_every).await;
        Some((format!("{left} left\n"), (stream, left)))
    });
    Body::from_stream(lines.map(Ok::<_, std::convert::Infallible>))
}

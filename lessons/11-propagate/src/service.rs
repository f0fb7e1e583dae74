//! Somebody else's service: plain HTTP, slow, and it knows how many streams it has open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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

use crate::caller::{Caller, Notes};

/// The service. It ends when this is dropped.
pub struct Service {
    /// Where it listens.
    pub url: String,
    /// What it noted.
    pub notes: Notes,
    open: Arc<AtomicUsize>,
    _end: DropGuard,
}

#[derive(Clone)]
struct Shared {
    line_every: Duration,
    notes: Notes,
    open: Arc<AtomicUsize>,
}

impl Service {
    /// Starts it. `GET /lines/3` streams three lines, one at a time.
    pub async fn start(line_every: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Shared { line_every, notes: Notes::default(), open: Arc::default() };
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
        self.open.load(Ordering::SeqCst)
    }
}

/// An open stream. The response's body owns it, so it is dropped with the body: at its end, or
/// when the client's connection is closed.
struct Stream(Shared, Caller);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        self.0.notes.note(&self.1, "service", "stopped");
    }
}

async fn lines(State(shared): State<Shared>, Path(count): Path<u32>, request: Request) -> Body {
    // The same trace context, here in the header that it has in plain HTTP.
    let header = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let caller = Caller::from_parent(header, CancellationToken::new());
    let line_every = shared.line_every;
    shared.open.fetch_add(1, Ordering::SeqCst);
    shared.notes.note(&caller, "service", "starts");
    let stream = Stream(shared, caller);
    let lines = unfold((stream, count), move |(stream, left)| async move {
        let left = left.checked_sub(1)?;
        sleep(line_every).await;
        Some((format!("{left} left\n"), (stream, left)))
    });
    Body::from_stream(lines.map(Ok::<_, std::convert::Infallible>))
}

//! A load balancer that sends each request to the next replica, and thinks no further.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::TRANSFER_ENCODING;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A balancer, for as long as this is held.
pub struct Balancer {
    /// Its MCP endpoint.
    pub url: String,
    _stop: DropGuard,
}

struct Turns {
    http: reqwest::Client,
    replicas: Vec<String>,
    next: AtomicUsize,
    /// Whether it reads on when its client has gone.
    swallows: bool,
}

impl Balancer {
    /// Starts one before these replicas.
    pub async fn start(replicas: Vec<String>, swallows: bool) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let turns = Turns { http, replicas, next: AtomicUsize::new(0), swallows };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/mcp", listener.local_addr()?);
        let app = Router::new().fallback(pass_on).with_state(Arc::new(turns));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                ended = axum::serve(listener, app) => ended,
                () = stopped.cancelled() => Ok(()),
            }
        });
        Ok(Self { url, _stop: stop.drop_guard() })
    }
}

async fn pass_on(State(turns): State<Arc<Turns>>, request: Request) -> Response {
    let turn = turns.next.fetch_add(1, Ordering::Relaxed) % turns.replicas.len();
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, 4 << 20).await else {
        return (StatusCode::BAD_REQUEST, "the request cannot be read\n").into_response();
    };
    let request =
        turns.http.request(parts.method, &turns.replicas[turn]).headers(parts.headers).body(body);
    let answer = if turns.swallows {
        // In a task of its own, the exchange goes on when the client has gone.
        let asked = tokio::spawn(request.send());
        asked.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    } else {
        // If the client goes, axum drops this future or the body below. Either closes the
        // connection to the replica.
        request.send().await
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    headers.remove(TRANSFER_ENCODING);
    let body =
        if turns.swallows { swallowed(answer) } else { Body::from_stream(answer.bytes_stream()) };
    (status, headers, body).into_response()
}

/// The body, read to its end whether or not anybody wants it.
fn swallowed(answer: reqwest::Response) -> Body {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut bytes = answer.bytes_stream();
        while let Some(chunk) = bytes.next().await {
            let _ = sender.send(chunk);
        }
    });
    Body::from_stream(futures::stream::poll_fn(move |context| receiver.poll_recv(context)))
}

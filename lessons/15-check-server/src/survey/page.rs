//! A page that never seems to end: a line every quarter of a second. It counts them.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use futures::stream;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio::time::sleep;

#[derive(Debug)]
pub struct Page {
    pub url: String,
    chunks: Arc<AtomicUsize>,
    serves: AbortHandle,
}

impl Page {
    pub async fn serve() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/slow", listener.local_addr()?);
        let chunks = Arc::new(AtomicUsize::new(0));
        let counter = chunks.clone();
        let slow = move || async move {
            let body = stream::unfold((counter, 0), |(counter, sent)| async move {
                if sent == 240 {
                    return None;
                }
                sleep(Duration::from_millis(250)).await;
                counter.fetch_add(1, Ordering::Relaxed);
                Some((Ok::<_, Infallible>("<p>slow</p>\n"), (counter, sent + 1)))
            });
            ([(CONTENT_TYPE, "text/html")], Body::from_stream(body)).into_response()
        };
        let app = Router::new().route("/slow", get(slow));
        let serves = tokio::spawn(axum::serve(listener, app).into_future()).abort_handle();
        Ok(Self { url, chunks, serves })
    }

    /// Lines that somebody has read.
    pub fn chunks(&self) -> usize {
        self.chunks.load(Ordering::Relaxed)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.serves.abort();
    }
}

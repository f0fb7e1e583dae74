//! HTTP by hand: each message is an exchange of its own, which can be closed at any moment.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use sse_stream::SseStream;
use tokio::task::AbortHandle;

use super::log::{Event, Log};

#[derive(Debug)]
pub struct Http {
    client: reqwest::Client,
    url: String,
    exchanges: AtomicU32,
    running: Mutex<HashMap<u32, AbortHandle>>,
    /// The session that the server named, 2025-11-25.
    pub session: Arc<Mutex<Option<String>>>,
}

impl Http {
    pub fn new(url: &str) -> anyhow::Result<Self> {
        // No idle connections: an exchange that is closed takes its connection along.
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().build()?;
        Ok(Self {
            client,
            url: url.to_owned(),
            exchanges: AtomicU32::new(1),
            running: Mutex::default(),
            session: Arc::default(),
        })
    }

    pub fn session(&self) -> Option<String> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts an exchange. Its head, its messages and its end go into the log.
    pub fn exchange(
        &self,
        method: reqwest::Method,
        headers: &[(&str, String)],
        body: Option<&Value>,
        log: &Arc<Log>,
    ) -> u32 {
        let number = self.exchanges.fetch_add(1, Ordering::Relaxed);
        let mut request = self.client.request(method, &self.url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
            log.push(number, Event::Sent(body.clone()));
        }
        let (log, session) = (log.clone(), self.session.clone());
        let task = tokio::spawn(async move {
            match read(request, number, &log, &session).await {
                Ok(()) => log.push(number, Event::Ended),
                Err(error) => log.push(number, Event::Lost(plain(&error))),
            }
        });
        self.lock().insert(number, task.abort_handle());
        number
    }

    /// Whether somebody listens, answered or not.
    pub async fn can_be_reached(&self) -> bool {
        let asked = self.client.get(&self.url).timeout(Duration::from_secs(1)).send().await;
        !asked.is_err_and(|error| error.is_connect())
    }

    /// Closes the exchange and its connection.
    pub fn close(&self, exchange: u32, log: &Log) {
        if let Some(task) = self.lock().remove(&exchange)
            && !task.is_finished()
        {
            task.abort();
            log.push(exchange, Event::Closed);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u32, AbortHandle>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.lock().values().for_each(AbortHandle::abort);
    }
}

async fn read(
    request: reqwest::RequestBuilder,
    number: u32,
    log: &Log,
    session: &Mutex<Option<String>>,
) -> anyhow::Result<()> {
    let response = request.send().await?;
    let header = |name| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
    if let Some(named) = header("mcp-session-id") {
        session.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(named);
    }
    let kind = header("content-type").unwrap_or_default();
    log.push(number, Event::Head(response.status().as_u16(), kind.clone()));
    if kind.starts_with("text/event-stream") {
        let mut events = SseStream::from_bytes_stream(response.bytes_stream());
        while let Some(event) = events.next().await {
            let event = event?;
            let data = event.data.unwrap_or_default();
            match serde_json::from_str(&data) {
                Ok(message) => log.push(number, Event::Received(message, event.id)),
                Err(_) if data.trim().is_empty() => {}
                Err(_) => log.push(number, Event::Garbage(data)),
            }
        }
        return Ok(());
    }
    let body = response.text().await?;
    match serde_json::from_str(&body) {
        Ok(message) => log.push(number, Event::Received(message, None)),
        Err(_) if body.is_empty() => {}
        Err(_) => log.push(number, Event::Garbage(body)),
    }
    Ok(())
}

/// The innermost cause: reqwest's own sentence names the URL, not what went wrong.
fn plain(error: &anyhow::Error) -> String {
    error.chain().last().map_or_else(|| error.to_string(), ToString::to_string)
}

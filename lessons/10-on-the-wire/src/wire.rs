//! HTTP by hand: sends JSON, and prints what goes out and what comes in.

use std::fmt::Display;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, bail, ensure};
use futures::stream::{self, BoxStream, StreamExt};
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::client::{PATIENCE, Patience};
use sse_stream::{Sse, SseStream};
use tokio::time::{Instant, timeout};

use crate::with_meta;

/// An incoming message that is longer than this is not printed whole.
const WIDTH: usize = 320;

/// How many steps a server may do between our first question and the end. One may be under way.
const GRACE: u64 = 5;

/// A server's endpoint, and what every message to it carries.
#[derive(Debug)]
pub struct Wire {
    /// Headers of every request, beside those that HTTP and the body ask for.
    pub headers: Vec<(&'static str, String)>,
    http: reqwest::Client,
    url: String,
    /// How often `list_calls` was asked.
    asked: AtomicU32,
    started: Instant,
}

/// A response whose head has come. Its messages follow.
pub struct Response {
    /// The value of `Mcp-Session-Id`, if the server gave one.
    pub session: Option<String>,
    status: StatusCode,
    messages: BoxStream<'static, anyhow::Result<Value>>,
    print: Printer,
}

/// Prints what goes and comes, and when; or nothing, for the questions to `list_calls`.
#[derive(Debug, Clone, Copy)]
struct Printer {
    started: Instant,
    silent: bool,
}

impl Printer {
    fn line(self, arrow: &str, text: impl Display) {
        if !self.silent {
            println!("{:7.3} s {arrow} {text}", self.started.elapsed().as_secs_f64());
        }
    }

    fn more(self, text: impl Display) {
        if !self.silent {
            println!("            {text}");
        }
    }
}

impl Wire {
    /// The endpoint at this URL. Nothing is sent yet.
    pub fn new(url: &str) -> Self {
        Self {
            headers: Vec::new(),
            http: reqwest::Client::new(),
            url: url.to_owned(),
            asked: AtomicU32::default(),
            started: Instant::now(),
        }
    }

    /// POSTs a message, and returns when the head of the response is there.
    pub async fn post(&self, message: &Value) -> anyhow::Result<Response> {
        self.send(message, Printer { started: self.started, silent: false }).await
    }

    async fn send(&self, message: &Value, print: Printer) -> anyhow::Result<Response> {
        let mut headers = self.headers.clone();
        // 2026-07-28 repeats in the headers what a proxy may want to know of the body.
        if self.is_stateless() {
            headers.extend(message["method"].as_str().map(|name| ("Mcp-Method", name.to_owned())));
            let tool = message["params"]["name"].as_str();
            headers.extend(tool.map(|name| ("Mcp-Name", name.to_owned())));
        }
        print.line("→", format_args!("POST {}", self.url));
        // These two go with every POST, and are not printed.
        let mut request = self
            .http
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream");
        for (name, value) in headers {
            print.more(format_args!("{name}: {value}"));
            request = request.header(name, value);
        }
        print.more(message);
        let sent = timeout(PATIENCE, request.body(message.to_string()).send()).await;
        let response = sent.context("the server says nothing")?.with_context(|| {
            let url = &self.url;
            format!("no server answers at {url}; start one with `serve`, or name it with --url")
        })?;
        Self::read(response, print).await
    }

    async fn read(response: reqwest::Response, print: Printer) -> anyhow::Result<Response> {
        let header = |name| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let (session, kind) = (header("mcp-session-id"), header("content-type"));
        let status = response.status();
        print.line("←", format_args!("{status} {}", kind.as_deref().unwrap_or("(no body)")));
        if let Some(session) = &session {
            print.more(format_args!("Mcp-Session-Id: {session}"));
        }
        // A server may answer a request with one JSON body or with a stream of events.
        let messages = if kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            SseStream::from_bytes_stream(response.bytes_stream()).filter_map(message_of).boxed()
        } else {
            let body = response.text().await?;
            match serde_json::from_str(&body) {
                Ok(message) => stream::iter([Ok(message)]).boxed(),
                Err(_) if body.is_empty() => stream::empty().boxed(),
                Err(_) => bail!("the server answered {status}: {body}"),
            }
        };
        Ok(Response { session, status, messages, print })
    }

    /// Asks the server until it says that our call no longer runs, or has gone on for `GRACE`
    /// steps.
    pub async fn stopped(&self) -> anyhow::Result<()> {
        println!("            (the client asks `list_calls` until the call has ended)");
        let mut call = self.record().await?;
        let steps = |call: &Value| call["steps_done"].as_u64().unwrap_or_default();
        let (mut patience, after) = (Patience::of(3 * PATIENCE), steps(&call) + GRACE);
        while call["state"] == "running" && steps(&call) < after {
            ensure!(patience.lasts().await, "the call neither works nor stops: {call}");
            call = self.record().await?;
        }
        let (state, done, total) = (&call["state"], &call["steps_done"], &call["steps_total"]);
        let print = Printer { started: self.started, silent: false };
        print.line("←", format_args!("state {state}, {done} of {total} steps"));
        ensure!(
            state != "running",
            "the server did not stop: {GRACE} steps after the cancel its call was still running"
        );
        ensure!(state == "cancelled", "the server did not cancel: its call is {state}");
        println!("✂️  the server says: cancelled after {done} of {total} steps");
        Ok(())
    }

    /// What the server's list says of its newest piece of work: ours. Not by the request id: a
    /// bridge between us and the server gives the request an id of its own.
    async fn record(&self) -> anyhow::Result<Value> {
        // An id names one request for ever, so every question has a new one: a text, because the
        // calls of the story and of the exercise have numbers.
        let id = format!("ask {}", self.asked.fetch_add(1, Ordering::Relaxed));
        let ask = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": { "name": "list_calls", "arguments": {} } });
        let ask = if self.is_stateless() { with_meta(ask) } else { ask };
        let print = Printer { started: self.started, silent: true };
        let answer = self.send(&ask, print).await?.answer().await?;
        let calls = answer["result"]["structuredContent"]["calls"].as_array();
        let work = |call: &&Value| call["tool"] == "process_large_file";
        let ours = calls.and_then(|calls| calls.iter().rfind(work));
        let ours = ours.with_context(|| format!("the server does not list our call: {answer}"))?;
        Ok(ours.clone())
    }

    fn is_stateless(&self) -> bool {
        self.headers.iter().any(|(_, value)| value == "2026-07-28")
    }
}

impl Response {
    /// The next message, as it arrives. None if the response has ended.
    pub async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        let next = timeout(PATIENCE, self.messages.next()).await;
        let next = next.with_context(|| format!("an open stream, and nothing for {PATIENCE:?}"))?;
        let Some(message) = next.transpose()? else {
            self.print.line("←", "(the response ends)");
            return Ok(None);
        };
        let text = message.to_string();
        match text.char_indices().nth(WIDTH) {
            Some((end, _)) => {
                let (start, bytes) = (&text[..end], text.len());
                self.print.line("←", format_args!("{start}... ({bytes} bytes)"));
            }
            None => self.print.line("←", text),
        }
        Ok(Some(message))
    }

    /// Reads on until the call has reported its progress so many times more.
    pub async fn progress(&mut self, times: u32) -> anyhow::Result<()> {
        for _ in 0..times {
            let news = self.next().await?.context("the call's stream ended")?;
            ensure!(news["method"] == "notifications/progress", "the call's stream said {news}");
        }
        Ok(())
    }

    /// The next message that is no progress: the answer.
    pub async fn answer(&mut self) -> anyhow::Result<Value> {
        loop {
            let message = self.next().await?.context("the stream ended without an answer")?;
            if message["method"] != "notifications/progress" {
                return Ok(message);
            }
        }
    }

    /// How the stream of a cancelled call ends, at a server that may end it as it likes.
    pub async fn last_word(&mut self) -> String {
        match self.answer().await {
            Ok(answer) => answer.to_string(),
            Err(nothing) => format!("no answer ({nothing}), which the specification allows"),
        }
    }

    /// A notification is answered with 202 and no body, whatever becomes of it.
    pub async fn accepted(mut self) -> anyhow::Result<()> {
        let status = self.status;
        ensure!(status == StatusCode::ACCEPTED, "a notification was answered with status {status}");
        ensure!(self.next().await?.is_none(), "a notification was answered with a message");
        Ok(())
    }
}

/// The message in an event. An event without data carries none: it keeps the line open, or
/// gives an id to resume from.
async fn message_of(event: Result<Sse, sse_stream::Error>) -> Option<anyhow::Result<Value>> {
    match event {
        Ok(event) => {
            let data = event.data.filter(|data| !data.is_empty())?;
            Some(serde_json::from_str(&data).context("an event that is not JSON"))
        }
        Err(error) => Some(Err(error.into())),
    }
}

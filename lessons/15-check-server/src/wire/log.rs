//! Every frame that went and came, with its time. Who waits for a frame is woken by it. What no
//! frame tells, as the word of a status tool, is asked for again and again.

use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// Something that happened on the wire.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Since the wire was opened.
    pub at: Duration,
    /// The HTTP exchange, counted from 1. On stdio there is one: 0.
    pub exchange: u32,
    pub event: Event,
}

#[derive(Debug, Clone)]
pub enum Event {
    Sent(Value),
    /// A message, and the id of the event that carried it (HTTP).
    Received(Value, Option<String>),
    /// The head of an HTTP response: its status and its content type.
    Head(u16, String),
    /// The other side ended the exchange or its output, in good order.
    Ended,
    /// We closed the exchange.
    Closed,
    /// The connection broke.
    Lost(String),
    /// Something that is no JSON message.
    Garbage(String),
    /// A line of the server's log.
    Stderr(String),
}

#[derive(Debug)]
pub struct Log {
    frames: Mutex<Vec<Frame>>,
    /// The place at which a server on stdio has ended its output.
    ended: OnceLock<usize>,
    news: watch::Sender<()>,
    opened: Instant,
}

impl Log {
    pub fn new() -> Self {
        Self {
            frames: Mutex::default(),
            ended: OnceLock::new(),
            news: watch::Sender::new(()),
            opened: Instant::now(),
        }
    }

    pub fn push(&self, exchange: u32, event: Event) {
        let mut frames = self.lock();
        if exchange == 0 && matches!(event, Event::Ended) {
            let _ = self.ended.set(frames.len());
        }
        frames.push(Frame { at: self.opened.elapsed(), exchange, event });
        drop(frames);
        self.news.send_replace(());
    }

    /// How many frames there are: the place from which later ones are looked for. A server on stdio
    /// may have ended before it is asked. Then this is its end: whoever waits for an answer sees it.
    pub fn mark(&self) -> usize {
        let frames = self.lock();
        self.ended.get().copied().unwrap_or(frames.len())
    }

    pub fn since(&self, mark: usize) -> Vec<Frame> {
        self.lock().get(mark..).unwrap_or_default().to_vec()
    }

    /// All that `look` finds in the frames since the mark.
    pub fn all<T>(&self, mark: usize, look: impl FnMut(&Frame) -> Option<T>) -> Vec<T> {
        self.lock().get(mark..).unwrap_or_default().iter().filter_map(look).collect()
    }

    /// Waits for the first frame since the mark in which `look` finds something.
    pub async fn first<T>(
        &self,
        mark: usize,
        patience: Duration,
        mut look: impl FnMut(&Frame) -> Option<T>,
    ) -> Option<T> {
        let mut news = self.news.subscribe();
        let mut next = mark;
        let found = async {
            loop {
                news.borrow_and_update();
                {
                    let frames = self.lock();
                    while let Some(frame) = frames.get(next) {
                        next += 1;
                        if let Some(found) = look(frame) {
                            return found;
                        }
                    }
                }
                if news.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        timeout(patience, found).await.ok()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Frame>> {
        self.frames.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The error in an answer. Some servers send both members, and null is none.
pub fn error(answer: &Value) -> Option<&Value> {
    answer.get("error").filter(|error| !error.is_null())
}

/// The result in an answer that brings no error.
pub fn result(answer: &Value) -> Option<&Value> {
    answer.get("result").filter(|_| error(answer).is_none())
}

impl Frame {
    /// The message that came, if this frame brought one.
    pub fn received(&self) -> Option<&Value> {
        match &self.event {
            Event::Received(message, _) => Some(message),
            _ => None,
        }
    }

    /// The answer to the request with this id, if this frame brought it.
    pub fn answer_to(&self, id: &Value) -> Option<&Value> {
        self.received()
            .filter(|message| message.get("method").is_none() && message.get("id") == Some(id))
    }

    /// One line for people.
    pub fn line(&self) -> String {
        const WIDTH: usize = 200;
        let (arrow, text) = match &self.event {
            Event::Sent(message) => ("→", message.to_string()),
            Event::Received(message, _) => ("←", message.to_string()),
            Event::Head(status, kind) => ("←", format!("HTTP {status} {kind}")),
            Event::Ended => ("←", "(ended by the other side)".to_owned()),
            Event::Closed => ("→", "(closed by this side)".to_owned()),
            Event::Lost(why) => ("✗", why.clone()),
            Event::Garbage(text) => ("←", format!("(no JSON message) {text}")),
            Event::Stderr(text) => ("│", text.clone()),
        };
        let clean: String =
            text.chars().take(WIDTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let cut = if text.chars().count() > WIDTH { "..." } else { "" };
        let place = match self.exchange {
            0 => String::new(),
            n => format!("#{n} "),
        };
        format!("{:8.3} s {arrow} {place}{clean}{cut}", self.at.as_secs_f64())
    }
}

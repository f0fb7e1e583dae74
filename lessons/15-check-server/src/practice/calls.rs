//! The practice server's calls, and where their messages go.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::Origin;

/// Where a request's messages go: the output of the process, or a response that is open.
#[derive(Debug)]
pub struct Outlet {
    to: Mutex<Option<UnboundedSender<Value>>>,
    open: AtomicBool,
}

impl Outlet {
    pub fn new(to: UnboundedSender<Value>) -> Self {
        Self { to: Mutex::new(Some(to)), open: AtomicBool::new(false) }
    }

    pub fn send(&self, message: Value) {
        if let Some(to) = &*self.lock() {
            let _ = to.send(message);
        }
    }

    /// The response is not over when its request has been handled.
    pub fn keep_open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    pub fn is_kept_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// A client that came back goes on reading here.
    pub fn replace(&self, to: UnboundedSender<Value>) {
        *self.lock() = Some(to);
    }

    pub fn close(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<UnboundedSender<Value>>> {
        self.to.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is said when a call is stopped.
#[derive(Debug)]
pub enum Over {
    /// Nothing, and the exchange ends.
    Silent,
    /// This, and the exchange ends.
    Answer(Value),
    /// Nothing, and the exchange stays open.
    Open,
}

#[derive(Debug)]
pub struct Call {
    pub number: usize,
    pub session: String,
    pub id: Value,
    pub label: Value,
    pub steps: u64,
    pub stopped: CancellationToken,
    http: bool,
    stateless: bool,
    token: Value,
    tool: String,
    out: Arc<Outlet>,
    done: AtomicU64,
    noted: AtomicU64,
    life: Mutex<Life>,
}

#[derive(Debug, Default)]
struct Life {
    muted: bool,
    state: Option<&'static str>,
    reason: Option<String>,
}

impl Call {
    pub fn new(number: usize, from: &Origin, id: &Value, params: &Value, steps: u64) -> Arc<Self> {
        from.out.keep_open();
        Arc::new(Self {
            number,
            session: from.session.clone(),
            id: id.clone(),
            label: params["arguments"]["id"].clone(),
            steps,
            stopped: CancellationToken::new(),
            http: from.http,
            stateless: from.revision == crate::wire::Revision::Stateless,
            token: params["_meta"]["progressToken"].clone(),
            tool: params["name"].as_str().unwrap_or_default().to_owned(),
            out: from.out.clone(),
            done: AtomicU64::new(0),
            noted: AtomicU64::new(0),
            life: Mutex::default(),
        })
    }

    pub fn is(&self, session: &str, id: &Value) -> bool {
        self.session == session && self.id == *id
    }

    pub fn is_over(&self) -> bool {
        self.life().state.is_some()
    }

    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub fn set_done(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
    }

    /// Keeps a computed value, so that computing it is not in vain.
    pub fn note(&self, value: u64) {
        self.noted.store(value, Ordering::Relaxed);
    }

    pub fn out(&self) -> Arc<Outlet> {
        self.out.clone()
    }

    pub fn progress(&self, done: u64) -> Option<Value> {
        let params = json!({ "progressToken": self.token, "progress": done, "total": self.steps });
        (!self.token.is_null()).then(
            || json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params }),
        )
    }

    /// Sends progress, if the call may still say something.
    pub fn report(&self, progress: Value) {
        let life = self.life();
        if !life.muted {
            self.out.send(progress);
        }
    }

    pub fn result(&self) -> Value {
        let mut result = json!({ "content": [{ "type": "text", "text": "counted" }] });
        if self.stateless {
            result["resultType"] = json!("complete");
        }
        json!({ "jsonrpc": "2.0", "id": self.id, "result": result })
    }

    /// Ends what is said about the call. The work is another matter.
    pub fn mute(&self, over: Over) {
        let mut life = self.life();
        if life.muted {
            return;
        }
        life.muted = true;
        let answer = match over {
            Over::Open => return,
            Over::Silent => None,
            Over::Answer(answer) => Some(answer),
        };
        if let Some(answer) = answer {
            self.out.send(answer);
        }
        if self.http {
            self.out.close();
        }
    }

    /// Stops the call.
    pub fn stop(&self, reason: &str, over: Over) {
        self.mute(over);
        let mut life = self.life();
        if life.state.is_none() {
            life.state = Some("cancelled");
            life.reason = Some(reason.to_owned()).filter(|reason| !reason.is_empty());
        }
        self.stopped.cancel();
    }

    /// The work is over.
    pub fn end(&self) {
        let state = if self.stopped.is_cancelled() { "cancelled" } else { "finished" };
        self.mute(Over::Answer(self.result()));
        self.life().state.get_or_insert(state);
    }

    pub fn record(&self) -> Value {
        let life = self.life();
        json!({ "call": self.number, "session": self.session, "request_id": self.id,
            "tool": self.tool, "state": life.state.unwrap_or("running"),
            "steps_done": self.done(), "steps_total": self.steps, "reason": life.reason,
            "started_at": null, "ended_at": null })
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

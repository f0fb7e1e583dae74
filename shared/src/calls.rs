//! What a server runs, what it ran, and how each call ended.
//!
//! A cancelled caller always *looks* cancelled: its own side gave up waiting. Only
//! the server knows whether the work stopped, so a server here writes each call
//! down, and the tool `list_calls` reads the list out.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use chrono::{DateTime, Utc};
use rmcp::model::RequestId;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, schemars};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// How many calls the list holds before it forgets the oldest that ended.
pub const CAPACITY: usize = 512;

/// How a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The tool is at work.
    Running,
    /// The tool did all its steps.
    Finished,
    /// The tool noticed the cancellation and stopped.
    Cancelled,
    /// The tool gave up with an error, panicked, or was dropped.
    Failed,
}

/// One call, as the server saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CallRecord {
    /// The JSON-RPC request id. Unique per connection, not per server.
    pub request_id: RequestId,
    /// The tool's name.
    pub tool: String,
    /// How the call stands.
    pub state: State,
    /// Steps completed so far.
    pub steps_done: u32,
    /// Steps the whole call has.
    pub steps_total: u32,
    /// The `reason` of the `notifications/cancelled` that stopped the call, if one came.
    pub reason: Option<String>,
    /// When the tool started (RFC 3339, UTC).
    pub started_at: DateTime<Utc>,
    /// When the tool ended (RFC 3339, UTC); null while it runs.
    pub ended_at: Option<DateTime<Utc>>,
}

/// The answer of `list_calls`, newest call last.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CallList {
    /// The calls: all that run, and the newest that ended.
    pub calls: Vec<CallRecord>,
}

/// The reason a client gave for its cancellation, carried by the request itself.
///
/// rmcp tells a handler *that* it is cancelled (`ctx.ct`) and tells the server, in
/// another task and in no fixed order, *why* (`on_cancelled`). [`crate::terminate`]
/// reads the notification before rmcp does and leaves the reason here, so that it is
/// known when `ct` fires.
#[derive(Debug, Clone, Default)]
pub struct CancelReason(Arc<OnceLock<String>>);

impl CancelReason {
    /// Keeps the first reason given.
    pub fn set(&self, reason: String) {
        let _ = self.0.set(reason);
    }

    /// Another clone exists: the call that carries it has not come to its end.
    pub(crate) fn is_carried(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// The list itself. Clones share it.
#[derive(Debug, Clone)]
pub struct Calls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    log: Mutex<Log>,
    changes: broadcast::Sender<CallRecord>,
}

#[derive(Debug, Default)]
struct Log {
    started: u64,
    records: VecDeque<(u64, CallRecord)>,
}

impl Default for Calls {
    fn default() -> Self {
        Self(Arc::new(Inner { log: Mutex::default(), changes: broadcast::Sender::new(CAPACITY) }))
    }
}

impl Calls {
    /// Writes down that a tool starts. The returned [`Call`] must say how it ends.
    pub fn start(&self, tool: &str, steps_total: u32, ctx: &RequestContext<RoleServer>) -> Call {
        let record = CallRecord {
            request_id: ctx.id.clone(),
            tool: tool.to_owned(),
            state: State::Running,
            steps_done: 0,
            steps_total,
            reason: None,
            started_at: Utc::now(),
            ended_at: None,
        };
        let mut log = self.log();
        log.started += 1;
        let number = log.started;
        log.records.push_back((number, record.clone()));
        if log.records.len() > CAPACITY {
            // Never forget a call that still runs: it is what a reader looks for.
            if let Some(oldest) = log.records.iter().position(|(_, r)| r.state != State::Running) {
                log.records.remove(oldest);
            }
        }
        drop(log);
        let _ = self.0.changes.send(record);
        Call {
            calls: self.clone(),
            number,
            reason: ctx.extensions.get::<CancelReason>().cloned().unwrap_or_default(),
            ended: false,
        }
    }

    /// The list as it stands.
    pub fn list(&self) -> CallList {
        CallList { calls: self.log().records.iter().map(|(_, record)| record.clone()).collect() }
    }

    /// Every change from now on, as the record it leads to.
    pub fn watch(&self) -> broadcast::Receiver<CallRecord> {
        self.0.changes.subscribe()
    }

    fn update(&self, number: u64, change: impl FnOnce(&mut CallRecord)) {
        let mut log = self.log();
        let found = log.records.iter_mut().rev().find(|(n, _)| *n == number);
        if let Some((_, record)) = found {
            change(record);
            let _ = self.0.changes.send(record.clone());
        }
    }

    /// No code of ours panics while it holds the lock, and a list that outlives a
    /// panic is worth more than a second panic.
    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call at work. Dropped without [`Call::end`] it counts as failed: the tool
/// panicked, or its future was thrown away.
#[derive(Debug)]
pub struct Call {
    calls: Calls,
    number: u64,
    reason: CancelReason,
    ended: bool,
}

impl Call {
    /// One more step is done.
    pub fn step_done(&self) {
        self.calls.update(self.number, |record| record.steps_done += 1);
    }

    /// The tool has stopped, for good, in this state.
    pub fn end(mut self, state: State) {
        self.write_end(state);
    }

    fn write_end(&mut self, state: State) {
        self.ended = true;
        let reason = self.reason.0.get().cloned();
        self.calls.update(self.number, |record| {
            record.state = state;
            record.ended_at = Some(Utc::now());
            if state == State::Cancelled {
                record.reason = reason;
            }
        });
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.ended {
            self.write_end(State::Failed);
        }
    }
}

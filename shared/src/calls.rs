//! What a server runs, what it ran, and how each call ended.
//!
//! A cancelled caller always *looks* cancelled: its own side gave up waiting. Only
//! the server knows whether the work stopped, so a server here writes each call
//! down, and the tool `list_calls` reads the list out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use rmcp::model::RequestId;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, schemars};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::broadcast;

use crate::note::{CallNote, Cause, printable};
pub use crate::note::{MAX_TEXT, State};
use crate::totals::Totals;

/// How many ended calls the list holds before it forgets the oldest.
pub const CAPACITY: usize = 512;

/// One call, as the server saw it. The JSON of this is documented in docs/src/list-calls.md.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CallRecord {
    /// The server's own number of the call, from 1. Unique for as long as the server runs.
    pub call: u64,
    /// The first characters of the caller's session id; null where there are no sessions.
    pub session: Option<String>,
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
    /// The `reason` that came with the cancel, if one did.
    pub reason: Option<String>,
    /// Why the call was told to stop; null if it was not, or finished all the same.
    #[serde(default)]
    pub cause: Option<Cause>,
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

/// The calls in the JSON of a [`CallList`].
pub fn read_list(list: Value) -> serde_json::Result<Vec<CallRecord>> {
    Ok(serde_json::from_value::<CallList>(list)?.calls)
}

/// What tells sessions apart in a list that everybody may read: too little of the session's id
/// to use it.
pub fn session_of(ctx: &RequestContext<RoleServer>) -> Option<String> {
    let id = ctx.extensions.get::<Parts>()?.headers.get("mcp-session-id")?;
    Some(printable(id.to_str().ok()?).chars().take(8).collect())
}

/// The request's id as it may be kept and shown.
pub fn id_of(ctx: &RequestContext<RoleServer>) -> RequestId {
    match &ctx.id {
        RequestId::String(text) => RequestId::String(printable(text).into()),
        number @ RequestId::Number(_) => number.clone(),
    }
}

/// The list itself. Clones share it.
#[derive(Clone)]
pub struct Calls(Arc<Inner>);

struct Inner {
    log: Mutex<Log>,
    changes: broadcast::Sender<CallRecord>,
    tasks: OnceLock<Box<dyn Fn() -> TaskCounts + Send + Sync>>,
}

/// How many tasks stand in which state.
pub type TaskCounts = BTreeMap<String, u64>;

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.list(), self.tasks()).fmt(f)
    }
}

#[derive(Default)]
struct Log {
    totals: Totals,
    records: BTreeMap<u64, CallRecord>,
    running: HashMap<u64, CallNote>,
    /// The numbers of those that ended, in the order in which they did.
    ended: VecDeque<u64>,
}

impl Default for Calls {
    fn default() -> Self {
        let (log, tasks) = Default::default();
        Self(Arc::new(Inner { log, changes: broadcast::Sender::new(CAPACITY), tasks }))
    }
}

impl Calls {
    /// Writes down that a tool starts, once a request. The returned [`Call`] must say how it ends.
    pub fn start(&self, tool: &str, steps_total: u32, ctx: &RequestContext<RoleServer>) -> Call {
        let mut log = self.log();
        let number = log.totals.start();
        let record = CallRecord {
            call: number,
            session: session_of(ctx),
            request_id: id_of(ctx),
            tool: tool.to_owned(),
            state: State::Running,
            steps_done: 0,
            steps_total,
            reason: None,
            cause: None,
            started_at: Utc::now(),
            ended_at: None,
        };
        self.tell(&record);
        log.records.insert(number, record);
        let note = ctx.extensions.get::<CallNote>().cloned().unwrap_or_default();
        log.running.insert(number, note.clone());
        drop(log);
        Call { calls: self.clone(), number, note }
    }

    /// Stops a call that runs, with the cause `operator`. False if there is none of that number.
    pub fn stop(&self, number: u64) -> bool {
        let note = self.log().running.get(&number).cloned();
        note.inspect(|note| note.cancel(Cause::Operator)).is_some()
    }

    /// The list as it stands.
    pub fn list(&self) -> CallList {
        CallList { calls: self.log().records.values().cloned().collect() }
    }

    /// The list as it stands, and every change from then on.
    pub fn follow(&self) -> (CallList, broadcast::Receiver<CallRecord>) {
        // Changes are told under this lock: none is missed, and none told twice.
        let log = self.log();
        (CallList { calls: log.records.values().cloned().collect() }, self.watch())
    }

    /// What the server has done since it started, in numbers.
    pub fn totals(&self) -> Totals {
        self.log().totals.clone()
    }

    /// The server works in tasks too: this counts them, by the name of their state.
    pub fn count_tasks_with(&self, count: impl Fn() -> TaskCounts + Send + Sync + 'static) {
        let _ = self.0.tasks.set(Box::new(count));
    }

    /// The tasks that the server keeps, if it has tasks.
    pub fn tasks(&self) -> Option<TaskCounts> {
        self.0.tasks.get().map(|count| count())
    }

    /// Every change from now on, as the record it leads to.
    pub fn watch(&self) -> broadcast::Receiver<CallRecord> {
        self.0.changes.subscribe()
    }

    /// Changes the record of a call that runs.
    fn update(&self, number: u64, change: impl FnOnce(&mut CallRecord)) {
        let mut log = self.log();
        let Some(record) = log.records.get_mut(&number) else { return };
        change(record);
        self.tell(record);
        let state = record.state;
        if state != State::Running {
            if let Some(note) = log.running.remove(&number) {
                log.totals.end(state, &note);
            }
            log.ended.push_back(number);
            // A call that still runs is never forgotten: it is what a reader looks for.
            if log.ended.len() > CAPACITY
                && let Some(oldest) = log.ended.pop_front()
            {
                log.records.remove(&oldest);
            }
        }
    }

    fn tell(&self, record: &CallRecord) {
        if self.0.changes.receiver_count() > 0 {
            let _ = self.0.changes.send(record.clone());
        }
    }

    /// No code of ours panics while it holds the lock, and a list that outlives a
    /// panic is worth more than a second panic.
    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call at work. Dropped before [`Call::end`] it counts as failed: the tool gave up with an
/// error, panicked, or its future was thrown away.
#[derive(Debug)]
pub struct Call {
    calls: Calls,
    number: u64,
    note: CallNote,
}

impl Call {
    /// One more step is done.
    pub fn step_done(&self) {
        self.calls.update(self.number, |record| record.steps_done += 1);
    }

    /// The tool has stopped, for good, in this state.
    pub fn end(self, state: State) {
        self.write_end(state);
    }

    /// The tool has stopped: done, cancelled (`None`), or with an error, which its caller gets.
    /// rmcp drops the answer of a cancelled call.
    pub fn finish<T>(self, done: anyhow::Result<Option<T>>) -> Result<T, String> {
        match done {
            Ok(Some(result)) => {
                self.end(State::Finished);
                Ok(result)
            }
            Ok(None) => {
                self.end(State::Cancelled);
                Err("cancelled".to_owned())
            }
            Err(error) => {
                self.end(State::Failed);
                Err(format!("{error:#}"))
            }
        }
    }

    fn write_end(&self, state: State) {
        if !self.note.set_end(state) {
            return;
        }
        self.calls.update(self.number, |record| {
            record.state = state;
            record.ended_at = Some(Utc::now());
            if state != State::Finished {
                record.cause = self.note.cause();
            }
            if state == State::Cancelled {
                record.reason = self.note.reason().map(str::to_owned);
            }
        });
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.write_end(State::Failed);
    }
}

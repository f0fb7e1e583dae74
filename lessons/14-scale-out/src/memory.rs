//! The store for replicas that share one process. It does what `redis.rs` does, and needs no
//! engine: for a machine that has none, and to read the rules without Lua.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use chrono::Utc;
use futures::StreamExt;
use futures::stream::{BoxStream, unfold};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::store::{Beat, Bell, CallName, End, Fate, GONE, Store, TaskRecord};

/// A map and a bell. It lives as long as the lesson, so nothing in it expires but leases.
pub struct MemoryStore {
    records: Mutex<Records>,
    bell: broadcast::Sender<Bell>,
}

#[derive(Default)]
struct Records {
    sessions: HashMap<String, Option<String>>,
    cancels: HashMap<CallName, Option<String>>,
    tasks: HashMap<String, Entry>,
}

struct Entry {
    record: TaskRecord,
    owner: String,
    leased_until: i64,
    cancelled: bool,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { records: Mutex::default(), bell: broadcast::Sender::new(1024) }
    }
}

impl MemoryStore {
    fn ring(&self, bell: Bell) {
        // An error means that nobody listens.
        let _ = self.bell.send(bell);
    }

    /// No code of ours panics while it holds the lock.
    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn save_session(&self, session: &str, state: &str) -> Result<()> {
        self.records().sessions.insert(session.to_owned(), Some(state.to_owned()));
        Ok(())
    }

    async fn session(&self, session: &str) -> Result<Option<String>> {
        Ok(self.records().sessions.get(session).cloned().flatten())
    }

    async fn end_session(&self, session: &str) -> Result<()> {
        self.records().sessions.insert(session.to_owned(), None);
        self.ring(Bell::Ended(session.to_owned()));
        Ok(())
    }

    async fn cancel(&self, call: &CallName, reason: Option<&str>) -> Result<()> {
        let reason = reason.map(str::to_owned);
        self.records().cancels.insert(call.clone(), reason.clone());
        self.ring(Bell::Cancelled(call.clone(), reason));
        Ok(())
    }

    async fn fate(&self, call: &CallName) -> Result<Fate> {
        let records = self.records();
        Ok(match (records.cancels.get(call), records.sessions.get(&call.session)) {
            (Some(reason), _) => Fate::Cancelled(reason.clone()),
            (None, Some(None)) => Fate::SessionEnded,
            (None, _) => Fate::Wanted,
        })
    }

    async fn listen(&self) -> Result<BoxStream<'static, Bell>> {
        // Ends when it has missed a bell. The record knows.
        let next = async |mut bells: broadcast::Receiver<Bell>| {
            bells.recv().await.ok().map(|bell| (bell, bells))
        };
        Ok(unfold(self.bell.subscribe(), next).boxed())
    }

    async fn start_task(&self, id: &str, owner: &str, lease: Duration) -> Result<()> {
        let now = now();
        let record =
            TaskRecord { end: None, payload: Value::Null, created: now, updated: now, refused: 0 };
        let entry = Entry {
            record,
            owner: owner.to_owned(),
            leased_until: now + millis(lease),
            cancelled: false,
        };
        self.records().tasks.insert(id.to_owned(), entry);
        Ok(())
    }

    async fn beat(&self, id: &str, owner: &str, lease: Duration) -> Result<Beat> {
        let mut records = self.records();
        let mine = |entry: &&mut Entry| entry.record.end.is_none() && entry.owner == owner;
        let Some(entry) = records.tasks.get_mut(id).filter(mine) else { return Ok(Beat::Lost) };
        entry.leased_until = now() + millis(lease);
        Ok(if entry.cancelled { Beat::Cancelled } else { Beat::Renewed })
    }

    async fn cancel_task(&self, id: &str) -> Result<bool> {
        let mut records = self.records();
        let Some(entry) = records.tasks.get_mut(id) else { return Ok(false) };
        if entry.record.end.is_none() {
            (entry.cancelled, entry.record.updated) = (true, now());
            self.ring(Bell::Task(id.to_owned()));
        }
        Ok(true)
    }

    async fn settle(&self, id: &str, owner: &str, end: End, payload: &Value) -> Result<bool> {
        let mut records = self.records();
        let Some(entry) = records.tasks.get_mut(id) else { return Ok(false) };
        if entry.record.end.is_some() || entry.owner != owner {
            entry.record.refused += 1;
            return Ok(false);
        }
        entry.record.end = Some(end);
        (entry.record.payload, entry.record.updated) = (payload.clone(), now());
        Ok(true)
    }

    async fn task(&self, id: &str) -> Result<Option<TaskRecord>> {
        let mut records = self.records();
        let Some(entry) = records.tasks.get_mut(id) else { return Ok(None) };
        if entry.record.end.is_none() && entry.leased_until < now() {
            entry.record.end = Some(End::Failed);
            entry.record.payload = json!({ "code": -32603, "message": GONE });
            entry.record.updated = now();
        }
        Ok(Some(entry.record.clone()))
    }
}

fn now() -> i64 {
    Utc::now().timestamp_millis()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

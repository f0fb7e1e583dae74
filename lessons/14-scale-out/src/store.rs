//! What the replicas share. This trait is all that the server knows of an engine: to use another
//! one, write one file like `redis.rs`.
//!
//! One rule holds for everything here: **the record is the truth, the bell only rings.** A bell
//! that nobody hears costs time, because every call and every task looks at its record now and then.
//! (A session that is deleted elsewhere and has no call is closed by the bell alone.)

use anyhow::Result;
use async_trait::async_trait;
use futures::stream::BoxStream;
use rmcp::model::RequestId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// Names a call. A request id is unique in its session only, and it is typed: 7 is not "7".
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallName {
    /// The session, as the header `Mcp-Session-Id` has it.
    pub session: String,
    /// The id of the request.
    pub id: RequestId,
}

/// What every replica hears at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bell {
    /// This call is cancelled.
    Cancelled(CallName, Option<String>),
    /// This session was deleted.
    Ended(String),
    /// This task is cancelled.
    Task(String),
}

/// What the record says of a call that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Nothing: its client still wants it.
    Wanted,
    /// It was cancelled, for this reason.
    Cancelled(Option<String>),
    /// Its session was deleted.
    SessionEnded,
}

/// What a replica hears when it tells that it still works on a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Go on.
    Renewed,
    /// Stop: somebody has cancelled the task.
    Cancelled,
    /// Stop: the task is no longer yours.
    Lost,
}

/// How a task ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// With the result of its tool.
    Completed,
    /// With an error.
    Failed,
    /// It was cancelled, and its work has stopped.
    Cancelled,
}

/// What is known of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRecord {
    /// How it ended; none while it is worked on.
    pub end: Option<End>,
    /// The result or the error that it ended with.
    pub payload: Value,
    /// When it was started, in milliseconds since 1970, by the clock of the store.
    pub created: i64,
    /// When it last changed.
    pub updated: i64,
    /// How often a replica tried to end it that had lost it.
    pub refused: u32,
}

/// What several replicas share.
///
/// An error means that the store could not be asked. What was to be recorded may or may not be
/// recorded then, so it must never be answered as if it were.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Keeps what is needed to go on with a session on any replica.
    async fn save_session(&self, session: &str, state: &str) -> Result<()>;
    /// What was kept of a session that was not deleted.
    async fn session(&self, session: &str) -> Result<Option<String>>;
    /// Records that a session is deleted, then rings.
    async fn end_session(&self, session: &str) -> Result<()>;

    /// Records that a call is cancelled, then rings.
    async fn cancel(&self, call: &CallName, reason: Option<&str>) -> Result<()>;
    /// Looks at the record of a call.
    async fn fate(&self, call: &CallName) -> Result<Fate>;

    /// Every bell from now on. The stream ends when the store is lost.
    async fn listen(&self) -> Result<BoxStream<'static, Bell>>;

    /// Records a task that `owner` works on. The record says so until `lease` is over.
    async fn start_task(&self, id: &str, owner: &str, lease: Duration) -> Result<()>;
    /// Renews the lease.
    async fn beat(&self, id: &str, owner: &str, lease: Duration) -> Result<Beat>;
    /// Records that a task is cancelled, then rings. False if there is no such task.
    async fn cancel_task(&self, id: &str) -> Result<bool>;
    /// Records the end of a task. False, and nothing is changed, if it has ended already or is
    /// not the owner's.
    async fn settle(&self, id: &str, owner: &str, end: End, payload: &Value) -> Result<bool>;
    /// Looks at a task. If nobody has renewed its lease, the look itself ends it as failed.
    async fn task(&self, id: &str) -> Result<Option<TaskRecord>>;
}

/// How long a cancel is remembered: long enough for a call that it has overtaken.
pub const CANCEL_TTL: Duration = Duration::from_secs(60);
/// How long a session is remembered. Nothing renews it.
pub const SESSION_TTL: Duration = Duration::from_secs(24 * 3600);
/// How long a task is remembered, and how long it may work.
pub const TASK_TTL: Duration = Duration::from_secs(600);

/// The error of a task whose replica is gone.
pub const GONE: &str = "the replica that worked on it is gone";

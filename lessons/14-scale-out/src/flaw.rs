//! Replicas that are wrong on purpose. Each claim of the lesson has one that breaks it:
//! `cargo run -p scale-out -- bus --wrong doorbell-only`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use clap::ValueEnum;
use futures::StreamExt;
use futures::stream::BoxStream;
use rmcp::model::RequestId;
use serde_json::Value;
use tokio::time::sleep;

use crate::store::{Beat, Bell, CallName, End, Fate, Store, TaskRecord};

/// What is wrong with the replicas, or with the balancer before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Flaw {
    /// Each replica keeps its sessions to itself.
    NoStore,
    /// Sessions are shared, cancels are not.
    NoBus,
    /// A cancel is rung, and not recorded.
    DoorbellOnly,
    /// A replica hears no bell. Nothing is lost by that: the lesson holds.
    NoBells,
    /// A cancel counts for the call of that id in any session.
    AnySession,
    /// Ids are compared as text: "7" is 7.
    IdsAsStrings,
    /// A deleted session is forgotten only where the DELETE came in.
    DeafToDelete,
    /// A replica knows only the tasks that it has started.
    LocalTasks,
    /// A task has no lease.
    NoLease,
    /// A replica that has lost a task works on.
    Undead,
    /// A replica that has lost a task writes its end all the same.
    Overwrites,
    /// A replica that stops does not wait until the ends of its tasks are written.
    Hasty,
    /// A cancel is acknowledged although the engine is down.
    Polite,
    /// A replica asks the engine before it stops a call of its own.
    EngineFirst,
    /// The balancer reads on when its client has gone.
    Swallow,
    /// The engine writes nothing to disk.
    EngineForgets,
}

/// A flaw as one types it.
pub fn typed(flaw: Flaw) -> String {
    flaw.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// A store that does wrong what the flaw says, and all else right.
pub struct Flawed {
    store: Arc<dyn Store>,
    flaw: Flaw,
    started: Mutex<HashSet<String>>,
}

/// Long enough to be for ever.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

impl Flawed {
    /// Makes a store wrong.
    pub fn new(store: Arc<dyn Store>, flaw: Flaw) -> Self {
        Self { store, flaw, started: Mutex::default() }
    }

    /// The name under which this flaw files a call.
    fn name(&self, call: &CallName) -> CallName {
        let CallName { session, id } = call.clone();
        match self.flaw {
            Flaw::AnySession => CallName { session: "any".to_owned(), id },
            Flaw::IdsAsStrings => {
                CallName { session, id: RequestId::String(id.to_string().into()) }
            }
            _ => call.clone(),
        }
    }

    fn lease(&self, lease: Duration) -> Duration {
        if self.flaw == Flaw::NoLease { FOR_EVER } else { lease }
    }

    fn knows(&self, id: &str) -> bool {
        self.flaw != Flaw::LocalTasks || self.started.lock().is_ok_and(|ids| ids.contains(id))
    }
}

#[async_trait]
impl Store for Flawed {
    async fn save_session(&self, session: &str, state: &str) -> Result<()> {
        self.store.save_session(session, state).await
    }

    async fn session(&self, session: &str) -> Result<Option<String>> {
        self.store.session(session).await
    }

    async fn end_session(&self, session: &str) -> Result<()> {
        match self.flaw {
            Flaw::DeafToDelete | Flaw::NoBus | Flaw::NoStore => Ok(()),
            Flaw::Polite => self.store.end_session(session).await.or(Ok(())),
            _ => self.store.end_session(session).await,
        }
    }

    async fn cancel(&self, call: &CallName, reason: Option<&str>) -> Result<()> {
        match (self.flaw, self.store.cancel(&self.name(call), reason)) {
            (Flaw::NoBus | Flaw::NoStore, _) => Ok(()),
            (Flaw::Polite, cancel) => cancel.await.or(Ok(())),
            (_, cancel) => cancel.await,
        }
    }

    async fn fate(&self, call: &CallName) -> Result<Fate> {
        match self.flaw {
            Flaw::NoBus | Flaw::NoStore | Flaw::DoorbellOnly => Ok(Fate::Wanted),
            _ => self.store.fate(&self.name(call)).await,
        }
    }

    async fn listen(&self) -> Result<BoxStream<'static, Bell>> {
        match self.flaw {
            Flaw::NoBells => Ok(futures::stream::pending().boxed()),
            _ => self.store.listen().await,
        }
    }

    async fn start_task(&self, id: &str, owner: &str, lease: Duration) -> Result<()> {
        if let Ok(mut started) = self.started.lock() {
            started.insert(id.to_owned());
        }
        self.store.start_task(id, owner, self.lease(lease)).await
    }

    async fn beat(&self, id: &str, owner: &str, lease: Duration) -> Result<Beat> {
        match (self.flaw, self.store.beat(id, owner, self.lease(lease)).await?) {
            (Flaw::Undead, Beat::Lost) => Ok(Beat::Renewed),
            (_, beat) => Ok(beat),
        }
    }

    async fn cancel_task(&self, id: &str) -> Result<bool> {
        match self.flaw {
            Flaw::LocalTasks if !self.knows(id) => Ok(false),
            Flaw::Polite => Ok(self.store.cancel_task(id).await.unwrap_or(true)),
            _ => self.store.cancel_task(id).await,
        }
    }

    async fn settle(&self, id: &str, owner: &str, end: End, payload: &Value) -> Result<bool> {
        if self.flaw == Flaw::Hasty {
            // As if the engine were far away.
            sleep(Duration::from_secs(1)).await;
        }
        let settled = self.store.settle(id, owner, end, payload).await?;
        if !settled && self.flaw == Flaw::Overwrites {
            self.store.start_task(id, owner, FOR_EVER).await?;
            return self.store.settle(id, owner, end, payload).await;
        }
        Ok(settled)
    }

    async fn task(&self, id: &str) -> Result<Option<TaskRecord>> {
        if self.knows(id) { self.store.task(id).await } else { Ok(None) }
    }
}

//! Who counts the rows that a tool reads after its cancel? Not the tool: one that does not look
//! cannot know. A task beside it waits for the token, and writes down how far the tool was.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rmcp::model::RequestId;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, schemars};
use serde::{Deserialize, Serialize};
use tokio_util::task::AbortOnDropHandle;

/// How many calls are remembered.
const CAPACITY: usize = 64;

/// How many rows a call has read.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RowsOfCall {
    /// The JSON-RPC request id.
    pub request_id: RequestId,
    /// Rows it has read in all.
    pub rows: u64,
    /// Rows it has read since it was cancelled; null if nobody saw that while it worked.
    pub after_cancel: Option<u64>,
}

/// The rows of all calls. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Rows(Arc<Mutex<VecDeque<Arc<Counter>>>>);

#[derive(Debug)]
struct Counter {
    request_id: RequestId,
    rows: AtomicU64,
    at_cancel: OnceLock<u64>,
}

/// Counts the rows of one call.
#[derive(Debug)]
pub struct Witness {
    counter: Arc<Counter>,
    /// The token fires at the end of *every* call. So the waiting task must not outlive the work.
    _waiting: AbortOnDropHandle<()>,
}

impl Rows {
    /// Counts for a call from now on.
    pub fn watch(&self, ctx: &RequestContext<RoleServer>) -> Witness {
        let (rows, at_cancel) = (AtomicU64::new(0), OnceLock::new());
        let counter = Arc::new(Counter { request_id: ctx.id.clone(), rows, at_cancel });
        let mut calls = self.calls();
        calls.push_back(Arc::clone(&counter));
        if calls.len() > CAPACITY {
            calls.pop_front();
        }
        let (token, seen) = (ctx.ct.clone(), Arc::clone(&counter));
        let waiting = tokio::spawn(async move {
            token.cancelled().await;
            let _ = seen.at_cancel.set(seen.rows.load(Ordering::Relaxed));
        });
        Witness { counter, _waiting: AbortOnDropHandle::new(waiting) }
    }

    /// The rows of each call, newest last.
    pub fn list(&self) -> Vec<RowsOfCall> {
        let of_call = |counter: &Arc<Counter>| {
            let at_cancel = counter.at_cancel.get();
            let rows = counter.rows.load(Ordering::Relaxed);
            let after_cancel = at_cancel.map(|at_cancel| rows - at_cancel);
            RowsOfCall { request_id: counter.request_id.clone(), rows, after_cancel }
        };
        self.calls().iter().map(of_call).collect()
    }

    fn calls(&self) -> MutexGuard<'_, VecDeque<Arc<Counter>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Witness {
    /// The tool has read one more row.
    pub fn row_read(&self) {
        self.counter.rows.fetch_add(1, Ordering::Relaxed);
    }

    /// How many rows it has read.
    pub fn rows(&self) -> u64 {
        self.counter.rows.load(Ordering::Relaxed)
    }
}

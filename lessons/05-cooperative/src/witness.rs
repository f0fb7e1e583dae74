//! Who counts the rows that a tool reads after its cancel? Not the tool: one that does not look
//! cannot know. Whoever fires the token wakes a witness, and that writes down how far the tool is.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Wake, Waker};

use rmcp::model::RequestId;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, schemars};
use serde::{Deserialize, Serialize};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How many calls are remembered.
const CAPACITY: usize = 64;

/// How many rows a call has read.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RowsOfCall {
    /// The JSON-RPC request id.
    pub request_id: RequestId,
    /// Rows it has read in all.
    pub rows: u64,
    /// Rows it has read since it was cancelled; null if it was not cancelled while it worked.
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
    token: CancellationToken,
    /// The token fires at the end of *every* call. So this must not outlive the work.
    _waiting: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// A waker runs on the thread that fires the token, before that does anything else. A task would
/// run later, when the tool may have ended.
impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        let _ = self.at_cancel.set(self.rows.load(Ordering::Relaxed));
    }
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
        drop(calls);
        let mut waiting = Box::pin(ctx.ct.clone().cancelled_owned());
        let waker = Waker::from(Arc::clone(&counter));
        // Polled once, so that the token knows the waker. If it has fired already, `drop` sees it.
        let _ = waiting.as_mut().poll(&mut Context::from_waker(&waker));
        Witness { counter, token: ctx.ct.clone(), _waiting: waiting }
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

impl Drop for Witness {
    /// A tool may see its token an instant before the waker is called.
    fn drop(&mut self) {
        if self.token.is_cancelled() {
            Arc::clone(&self.counter).wake();
        }
    }
}

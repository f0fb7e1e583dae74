//! Who counts the rows that a tool reads after its cancel? Not the tool: one that does not look
//! cannot know. A task beside it waits for the token, and writes down how far the tool was.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rmcp::model::RequestId;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, schemars};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How many cancelled calls are remembered.
const CAPACITY: usize = 64;

/// What a cancelled call did.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CancelledCall {
    /// The JSON-RPC request id.
    pub request_id: RequestId,
    /// Rows it read in all.
    pub rows: u64,
    /// Rows it read after its token had fired.
    pub rows_after_cancel: u64,
    /// Whether it goes on.
    pub at_work: bool,
}

/// The cancelled calls of a server, newest last. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct CancelledCalls(Arc<Mutex<VecDeque<Arc<Account>>>>);

/// What is written down of one call.
#[derive(Debug)]
struct Account {
    request_id: RequestId,
    rows: AtomicU64,
    rows_at_cancel: OnceLock<u64>,
    ended: AtomicBool,
}

/// Watches one call. Drop it when the work is over.
#[derive(Debug)]
pub struct Witness {
    account: Arc<Account>,
    token: CancellationToken,
    calls: CancelledCalls,
    /// The token fires at the end of *every* call. So the waiting task must not outlive the work.
    _waiting: AbortOnDropHandle<()>,
}

impl CancelledCalls {
    /// Watches a call from now on.
    pub fn watch(&self, ctx: &RequestContext<RoleServer>) -> Witness {
        let account = Arc::new(Account {
            request_id: ctx.id.clone(),
            rows: AtomicU64::new(0),
            rows_at_cancel: OnceLock::new(),
            ended: AtomicBool::new(false),
        });
        let (calls, of, token) = (self.clone(), Arc::clone(&account), ctx.ct.clone());
        let waiting = tokio::spawn(async move {
            token.cancelled().await;
            calls.note(&of);
        });
        Witness {
            account,
            token: ctx.ct.clone(),
            calls: self.clone(),
            _waiting: AbortOnDropHandle::new(waiting),
        }
    }

    /// The list as it stands.
    pub fn list(&self) -> Vec<CancelledCall> {
        let row = |account: &Arc<Account>| {
            let rows = account.rows.load(Ordering::Relaxed);
            let at_cancel = account.rows_at_cancel.get().copied().unwrap_or(rows);
            CancelledCall {
                request_id: account.request_id.clone(),
                rows,
                rows_after_cancel: rows.saturating_sub(at_cancel),
                at_work: !account.ended.load(Ordering::Relaxed),
            }
        };
        self.calls().iter().map(row).collect()
    }

    /// The call is cancelled. What it reads from now on is read too much.
    fn note(&self, account: &Arc<Account>) {
        if account.rows_at_cancel.set(account.rows.load(Ordering::Relaxed)).is_ok() {
            let mut calls = self.calls();
            calls.push_back(Arc::clone(account));
            if calls.len() > CAPACITY {
                calls.pop_front();
            }
        }
    }

    fn calls(&self) -> MutexGuard<'_, VecDeque<Arc<Account>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Witness {
    /// The tool has read one more row.
    pub fn row_read(&self) {
        self.account.rows.fetch_add(1, Ordering::Relaxed);
    }

    /// How many rows it has read.
    pub fn rows(&self) -> u64 {
        self.account.rows.load(Ordering::Relaxed)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // The tool may have been faster than the waiting task.
        if self.token.is_cancelled() {
            self.calls.note(&self.account);
        }
        self.account.ended.store(true, Ordering::Relaxed);
    }
}

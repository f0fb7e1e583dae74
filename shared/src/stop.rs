//! Stopping a server: who is told, and who is waited for.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How long the work may take to clean up, unless somebody says otherwise. A client that has
/// started its server kills it a few seconds after it told it to end.
pub const GRACE: Duration = Duration::from_millis(1500);
/// What a stop may take beyond the grace for the last answers to reach the wire. They take
/// milliseconds, unless the machine is busy, or a client does not read.
pub const BEYOND: Duration = Duration::from_secs(1);

/// Tells a server to stop, and knows whether anything still runs. Clones share it.
#[derive(Debug, Clone)]
pub struct Stop {
    token: CancellationToken,
    running: TaskTracker,
    grace: Duration,
}

impl Default for Stop {
    fn default() -> Self {
        Self::with_grace(GRACE)
    }
}

impl Stop {
    /// Work that is told to stop has this long to clean up. Then it is aborted.
    pub fn with_grace(grace: Duration) -> Self {
        let running = TaskTracker::new();
        // A tracker must be closed before one can wait for it. It counts on all the same.
        running.close();
        Self { token: CancellationToken::new(), running, grace }
    }

    /// Tells the server to stop.
    pub fn now(&self) {
        self.token.cancel();
    }

    /// A token that fires when the server is told to stop.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Something for which a stop waits, as long as the returned token is held: work, or an
    /// answer on its way.
    pub fn running(&self) -> TaskTrackerToken {
        self.running.token()
    }

    /// Waits for work that was told to stop. None: it did not stop in time. Then drop it.
    pub async fn in_grace<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        timeout(self.grace, work).await.ok()
    }

    /// Waits, when a stop has been requested, until nothing runs. Bounded: what cannot be aborted
    /// does not hold up the end of the process.
    pub async fn settled(&self) {
        self.token.cancelled().await;
        let _ = timeout(self.grace.saturating_add(BEYOND), self.running.wait()).await;
    }
}

//! Stopping a server: who is told, and who is waited for.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Time for the last answers to reach the wire when the server stops.
pub const FLUSH: Duration = Duration::from_millis(100);
/// How long a stop may take, end to end.
pub const LIMIT: Duration = Duration::from_millis(1500);

/// Tells a server to stop, and knows whether anything still runs. Clones share it.
#[derive(Debug, Clone)]
pub struct Stop {
    token: CancellationToken,
    running: TaskTracker,
}

impl Default for Stop {
    fn default() -> Self {
        let running = TaskTracker::new();
        // A tracker must be closed before one can wait for it. It counts on all the same.
        running.close();
        Self { token: CancellationToken::new(), running }
    }
}

impl Stop {
    /// Tells the server to stop.
    pub fn now(&self) {
        self.token.cancel();
    }

    /// Returns when the server has been told to stop.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// A token that fires when the server is told to stop.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Work for which a stop waits, as long as the returned token is held.
    pub fn running(&self) -> TaskTrackerToken {
        self.running.token()
    }

    /// Waits until nothing runs.
    pub async fn all_ended(&self) {
        self.running.wait().await;
    }

    /// Waits, when a stop has been requested, until nothing runs and the last answers are out.
    /// Bounded: a tool that does not stop cannot hold up the end of the process.
    pub async fn settled(&self) {
        self.requested().await;
        let settled = async {
            self.all_ended().await;
            sleep(FLUSH).await;
        };
        let _ = timeout(LIMIT, settled).await;
    }
}

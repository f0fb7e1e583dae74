//! What comes in on a client's connection, noted where it arrives.
//!
//! rmcp throws away what arrives for a request that it considers settled, so a lesson that
//! wants to see a message that should not have come has to look here.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::bail;
use rmcp::RoleClient;
use rmcp::model::{
    JsonRpcMessage, ProgressNotificationParam, ProgressToken, RequestId, ServerNotification,
};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout_at};

/// How long a lesson waits for something that should come at once, before it gives up.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How many messages of each kind came in for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// JSON-RPC responses with a result.
    pub results: usize,
    /// JSON-RPC errors.
    pub errors: usize,
    /// Progress notifications.
    pub progress: usize,
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { results, errors, progress } = self;
        write!(f, "results: {results}, errors: {errors}, progress: {progress}")
    }
}

/// Progress notifications, in the order they came in.
#[derive(Debug)]
pub struct Progress(broadcast::Receiver<ProgressNotificationParam>);

impl Progress {
    /// The next notification, of any call. An error if none comes within [`PATIENCE`].
    pub async fn next(&mut self) -> anyhow::Result<ProgressNotificationParam> {
        self.next_that(|_| true).await
    }

    /// The same of one call: what others report in the meantime does not prolong the wait.
    pub async fn next_of(
        &mut self,
        token: &ProgressToken,
    ) -> anyhow::Result<ProgressNotificationParam> {
        self.next_that(|progress| progress.progress_token == *token).await
    }

    async fn next_that(
        &mut self,
        wanted: impl Fn(&ProgressNotificationParam) -> bool,
    ) -> anyhow::Result<ProgressNotificationParam> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match timeout_at(deadline, self.0.recv()).await {
                Ok(Ok(progress)) if wanted(&progress) => return Ok(progress),
                // Another call's, or some were missed: the next one is as good.
                Ok(Ok(_) | Err(broadcast::error::RecvError::Lagged(_))) => {}
                Ok(Err(broadcast::error::RecvError::Closed)) => bail!("the connection is closed"),
                Err(_) => bail!("the server has sent no progress for {PATIENCE:?}"),
            }
        }
    }
}

/// A record of everything that comes in on a connection.
#[derive(Debug, Clone)]
pub(crate) struct Arrivals {
    progress: broadcast::Sender<ProgressNotificationParam>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    results: HashMap<RequestId, usize>,
    errors: HashMap<RequestId, usize>,
    progress: HashMap<RequestId, usize>,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self { progress: broadcast::Sender::new(1024), seen: Arc::default() }
    }
}

impl Arrivals {
    pub(crate) fn progress(&self) -> Progress {
        Progress(self.progress.subscribe())
    }

    pub(crate) fn traffic(&self, id: &RequestId, token: &ProgressToken) -> Traffic {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Traffic {
            results: seen.results.get(id).copied().unwrap_or_default(),
            errors: seen.errors.get(id).copied().unwrap_or_default(),
            progress: seen.progress.get(&token.0).copied().unwrap_or_default(),
        }
    }

    fn note(&self, message: &RxJsonRpcMessage<RoleClient>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let count = match message {
            JsonRpcMessage::Response(response) => seen.results.entry(response.id.clone()),
            JsonRpcMessage::Error(error) => match &error.id {
                Some(id) => seen.errors.entry(id.clone()),
                None => return,
            },
            JsonRpcMessage::Notification(notification) => match &notification.notification {
                ServerNotification::ProgressNotification(progress) => {
                    let _ = self.progress.send(progress.params.clone());
                    seen.progress.entry(progress.params.progress_token.0.clone())
                }
                _ => return,
            },
            JsonRpcMessage::Request(_) => return,
        };
        *count.or_default() += 1;
    }
}

/// A transport that notes what comes in.
#[derive(Debug)]
pub(crate) struct Noted<T> {
    pub(crate) inner: T,
    pub(crate) arrivals: Arrivals,
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for Noted<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.inner.send(message)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        let message = self.inner.receive().await?;
        self.arrivals.note(&message);
        Some(message)
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}

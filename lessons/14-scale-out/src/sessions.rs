//! The sessions of 2025-11-25, on every replica, and the bus that carries a cancel to the replica
//! that runs the call.

use std::collections::HashSet;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::request::Parts;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream};
use hosting::between::Between;
use hosting::guard::Limits;
use hosting::layer::{Layer, Server};
use hosting::sessions::Sessions as Local;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelledNotification, CancelledNotificationParam,
    ClientJsonRpcMessage, ClientNotification, JsonRpcMessage, ServerJsonRpcMessage,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManagerError;
use rmcp::transport::streamable_http_server::session::{
    RestoreOutcome, ServerSseMessage, SessionId, SessionManager,
};
use rmcp::{ErrorData, RoleServer};
use tokio::time::sleep;

use crate::flaw::Flaw;
use crate::store::{CallName, Fate, Store};

/// How often a running call looks at its record, in case its bell was missed.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The sessions of one replica: the course's usual ones, and what it takes to share them.
pub struct Sessions {
    local: Local,
    store: Arc<dyn Store>,
    running: Mutex<HashSet<CallName>>,
    /// The sessions that have answered a request here.
    ready: Mutex<HashSet<String>>,
    restoring: tokio::sync::Mutex<()>,
    flaw: Option<Flaw>,
}

impl Sessions {
    /// No sessions yet.
    pub fn new(store: Arc<dyn Store>, flaw: Option<Flaw>) -> Self {
        let local = Local::new(Between::default(), Limits::default().sessions);
        let (running, ready, restoring) = Default::default();
        Self { local, store, running, ready, restoring, flaw }
    }

    /// Answers a request of a session. If the session may have to be restored for it, other such
    /// requests wait until this one is answered.
    ///
    /// rmcp 3.9.0 lets them in: the second is answered 500, or read before the session is open.
    pub async fn in_turn<T>(&self, session: &str, answer: impl Future<Output = T>) -> T {
        if locked(&self.ready).contains(session) {
            return answer.await;
        }
        let _turn = self.restoring.lock().await;
        let answer = answer.await;
        if self.local.has_session(&session.to_owned().into()).await.unwrap_or(false) {
            locked(&self.ready).insert(session.to_owned());
        }
        answer
    }

    /// A cancel that came in here. The call may run here, elsewhere, or not yet.
    async fn cancel(
        &self,
        call: CallName,
        reason: Option<String>,
        message: ClientJsonRpcMessage,
    ) -> Result<(), Failed> {
        let ours = locked(&self.running).contains(&call);
        if self.flaw == Some(Flaw::EngineFirst) {
            self.store.cancel(&call, reason.as_deref()).await?;
        }
        // First what needs no engine: a call of our own stops even if the engine is down.
        self.local.accept_message(&call.session.clone().into(), message).await?;
        if !ours {
            // If this fails, the POST is answered 500. It must not say 202: nobody has heard it.
            self.store.cancel(&call, reason.as_deref()).await?;
        }
        Ok(())
    }

    /// The bell says that a call is cancelled. It concerns one replica.
    pub async fn cancelled_elsewhere(&self, call: &CallName, reason: Option<String>) {
        if locked(&self.running).contains(call) {
            let params = CancelledNotificationParam::new(Some(call.id.clone()), reason);
            let cancel = ClientJsonRpcMessage::notification(
                ClientNotification::CancelledNotification(CancelledNotification::new(params)),
            );
            // An error means that the session has just ended, and its calls with it.
            let _ = self.local.accept_message(&call.session.clone().into(), cancel).await;
        }
    }

    /// A session was deleted, on any replica. Its calls are cancelled here.
    pub async fn ended_elsewhere(&self, session: &str) {
        let _ = self.close_session(&session.to_owned().into()).await;
    }

    /// Looks at the record of a running call: at its start, because a cancel may overtake its
    /// call, and then now and then, because a bell may be missed.
    async fn watch(&self, call: &CallName) -> Infallible {
        loop {
            match self.store.fate(call).await {
                Ok(Fate::Cancelled(reason)) => self.cancelled_elsewhere(call, reason).await,
                Ok(Fate::SessionEnded) => self.ended_elsewhere(&call.session).await,
                // An engine that is down says nothing against the call.
                Ok(Fate::Wanted) | Err(_) => {}
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

/// No code of ours panics while it holds the lock.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stands around the tools: knows which calls of sessions run here, and watches their records.
pub struct Watched(pub Arc<Sessions>);

impl Layer for Watched {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        let Some(call) = name_of(&ctx) else {
            // 2026-07-28 has no sessions: the closed stream ends at the replica that runs the call.
            return rmcp::ServerHandler::call_tool(next, request, ctx).boxed();
        };
        async move {
            let _running = Running::enter(&self.0, &call);
            tokio::select! {
                answer = rmcp::ServerHandler::call_tool(next, request, ctx) => answer,
                never = self.0.watch(&call) => match never {},
            }
        }
        .boxed()
    }
}

fn name_of(ctx: &RequestContext<RoleServer>) -> Option<CallName> {
    let session = ctx.extensions.get::<Parts>()?.headers.get("mcp-session-id")?;
    Some(CallName { session: session.to_str().ok()?.to_owned(), id: ctx.id.clone() })
}

/// A call that runs, for as long as this is held.
struct Running<'a>(&'a Sessions, &'a CallName);

impl<'a> Running<'a> {
    fn enter(sessions: &'a Sessions, call: &'a CallName) -> Self {
        locked(&sessions.running).insert(call.clone());
        Self(sessions, call)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        locked(&self.0.running).remove(self.1);
    }
}

/// Why a message was not taken. The client reads it with a status 500.
#[derive(Debug)]
pub struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self(format!("the store of the replicas cannot be reached: {error:#}"))
    }
}

impl From<LocalSessionManagerError> for Failed {
    fn from(error: LocalSessionManagerError) -> Self {
        Self(error.to_string())
    }
}

/// All but cancels is left to the usual sessions.
impl SessionManager for Sessions {
    type Error = Failed;
    type Transport = <Local as SessionManager>::Transport;

    async fn accept_message(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<(), Failed> {
        if let JsonRpcMessage::Notification(notification) = &message
            && let ClientNotification::CancelledNotification(cancel) = &notification.notification
            && let Some(request_id) = &cancel.params.request_id
        {
            let call = CallName { session: id.to_string(), id: request_id.clone() };
            let reason = cancel.params.reason.clone();
            return self.cancel(call, reason, message).await;
        }
        Ok(self.local.accept_message(id, message).await?)
    }

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Failed> {
        Ok(self.local.create_session().await?)
    }

    async fn restore_session(
        &self,
        id: SessionId,
    ) -> Result<RestoreOutcome<Self::Transport>, Failed> {
        Ok(self.local.restore_session(id).await?)
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Failed> {
        Ok(self.local.initialize_session(id, message).await?)
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Failed> {
        Ok(self.local.has_session(id).await?)
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Failed> {
        locked(&self.ready).remove(&**id);
        Ok(self.local.close_session(id).await?)
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Failed> {
        Ok(self.local.create_stream(id, message).await?)
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Failed> {
        Ok(self.local.create_standalone_stream(id).await?)
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Failed> {
        Ok(self.local.resume(id, last_event_id).await?)
    }
}

//! rmcp's sessions for HTTP 2025-11-25, with a say in how a cancelled call ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::ready;
use futures::stream::{once, poll_fn};
use futures::{Stream, StreamExt};
use rmcp::model::{ClientJsonRpcMessage, ClientNotification, JsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_server::session::local::{
    LocalSessionManager, LocalSessionManagerError, SessionError,
};
use rmcp::transport::streamable_http_server::session::{
    RestoreOutcome, ServerSseMessage, SessionId, SessionManager,
};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::between::{Between, Tapped};
use crate::cancel::{CancelAware, Hidden, refusal};
use crate::open_calls::OpenCalls;
use crate::unread::taken;

/// rmcp's sessions for HTTP 2025-11-25, each with a [`CancelAware`] transport.
///
/// rmcp's session worker closes a call's stream, without an answer, when it sees a cancel
/// for its id pass. So [`Sessions::accept_message`] moves the id from the params, where the
/// worker looks, to the extensions, and [`CancelAware`] moves it back. The notification
/// itself takes its usual way. It waits while a call of its session is being handed over: otherwise
/// it could overtake that call, and be ignored.
///
/// It also forgets a call's stream when it has handed it the answer, read or not. A client that
/// had lost its connection by then would ask for the rest of the stream and get nothing. So
/// [`Sessions::resume`] gives it the answer, which is kept for a while.
///
/// The worker finds a call's stream by the call's id. A second call with that id would take
/// over the stream, so it is refused here, before the worker sees it.
pub struct Sessions {
    inner: LocalSessionManager,
    open: Mutex<HashMap<SessionId, OpenCalls>>,
    between: Between,
    limit: usize,
    /// How many more sessions may be opened.
    room: Semaphore,
}

impl Sessions {
    /// No sessions yet, and room for so many. `between` stands between each and the server.
    pub fn new(between: Between, limit: usize) -> Self {
        let (inner, open) = Default::default();
        let room = Semaphore::new(limit.min(Semaphore::MAX_PERMITS));
        Self { inner, open, between, limit, room }
    }

    /// Why no further session can be opened, if that is so.
    pub(crate) fn full(&self) -> Option<String> {
        let full = self.room.available_permits() == 0;
        full.then(|| format!("busy: {} sessions are open, as many as there may be", self.limit))
    }

    /// Room for one session more, unless there is none.
    fn place(&self) -> Result<SemaphorePermit<'_>, LocalSessionManagerError> {
        let full = || LocalSessionManagerError::SessionNotFound("there is no room for it".into());
        self.room.try_acquire().map_err(|_| full())
    }

    /// What is still to say to a client that saw this event last.
    fn kept_answer(&self, id: &SessionId, last_event_id: &str) -> Option<ServerSseMessage> {
        let (event, stream) = event_of(last_event_id)?;
        let (answer, given_as) = self.open().get(id)?.answer_on(stream)?;
        let seen = event.parse() == Ok(LAST) || given_as.as_deref() == Some(last_event_id);
        (!seen).then(|| ServerSseMessage::new(format!("{LAST}/{stream}"), answer))
    }

    /// The events of a stream. The answer among them is known by its event id from then on.
    fn noted(
        &self,
        id: &SessionId,
        events: impl Stream<Item = ServerSseMessage> + Send + 'static,
    ) -> impl Stream<Item = ServerSseMessage> + Send + Sync + 'static {
        let open = self.open().get(id).cloned();
        taken(events).inspect(move |event| {
            if let (Some(open), Some(id)) = (&open, &event.event_id)
                && event.message.as_deref().is_some_and(is_answer)
                && let Some((_, stream)) = event_of(id)
            {
                open.given_as(stream, id.clone());
            }
        })
    }

    /// No code of ours panics while it holds the lock.
    fn open(&self) -> MutexGuard<'_, HashMap<SessionId, OpenCalls>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The worker's ids: "4/2" is event 4 of stream 2.
fn event_of(id: &str) -> Option<(&str, u64)> {
    let (event, stream) = id.split_once('/')?;
    Some((event, stream.parse().ok()?))
}

fn is_answer(message: &ServerJsonRpcMessage) -> bool {
    matches!(message, JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_))
}

/// The place that a kept answer has in its stream: after all others.
const LAST: u64 = u64::MAX;

impl SessionManager for Sessions {
    type Error = LocalSessionManagerError;
    type Transport = CancelAware<Tapped<<LocalSessionManager as SessionManager>::Transport>>;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        let room = self.place()?;
        let (id, transport) = self.inner.create_session().await?;
        // Given back when the session is closed.
        room.forget();
        let transport = CancelAware::answering(Tapped::new(transport, self.between.connection()));
        self.open().insert(id.clone(), transport.open());
        Ok((id, transport))
    }

    async fn accept_message(
        &self,
        id: &SessionId,
        mut message: ClientJsonRpcMessage,
    ) -> Result<(), Self::Error> {
        if let JsonRpcMessage::Notification(notification) = &mut message
            && let ClientNotification::CancelledNotification(cancel) =
                &mut notification.notification
            && let Some(request_id) = cancel.params.request_id.take()
        {
            cancel.extensions.insert(Hidden(request_id));
            let open = self.open().get(id).cloned();
            if let Some(open) = open {
                drop(open.handing_over.lock().await);
            }
        }
        self.inner.accept_message(id, message).await
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Self::Error> {
        self.inner.initialize_session(id, message).await
    }

    /// A session that another process has opened, for a server that shares its sessions.
    async fn restore_session(
        &self,
        id: SessionId,
    ) -> Result<RestoreOutcome<Self::Transport>, Self::Error> {
        let room = self.place()?;
        Ok(match self.inner.restore_session(id.clone()).await? {
            RestoreOutcome::Restored(transport) => {
                room.forget();
                let tapped = Tapped::new(transport, self.between.connection());
                let transport = CancelAware::answering(tapped);
                self.open().insert(id, transport.open());
                RestoreOutcome::Restored(transport)
            }
            RestoreOutcome::AlreadyPresent => RestoreOutcome::AlreadyPresent,
            _ => RestoreOutcome::NotSupported,
        })
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Self::Error> {
        self.inner.has_session(id).await
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Self::Error> {
        if let Some(open) = self.open().remove(id) {
            open.close();
            self.room.add_permits(1);
        }
        self.inner.close_session(id).await
    }

    async fn create_stream(
        &self,
        session_id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let gone = || LocalSessionManagerError::SessionNotFound(session_id.clone());
        let session = self.inner.sessions.read().await.get(session_id).cloned().ok_or_else(gone)?;
        let open = self.open().get(session_id).cloned().ok_or_else(gone)?;
        let request_id = match &message {
            JsonRpcMessage::Request(request) => Some(request.id.clone()),
            _ => None,
        };
        let turn = Arc::clone(&open.handing_over).lock_owned().await;
        if let Some(id) = &request_id
            && !open.reserve(id)
        {
            let refusal = ServerSseMessage::from_message(refusal(id.clone()));
            return Ok(once(async { refusal }).left_stream());
        }
        // A task of its own goes on if the client hangs up here: an id that is reserved belongs
        // to a call that will be received.
        let handed_over = tokio::spawn(async move {
            let stream = session.establish_request_wise_channel().await?;
            if let Some(id) = request_id {
                open.set_stream(&id, stream.http_request_id);
            }
            session.push_message(message, stream.http_request_id).await?;
            drop(turn);
            Ok::<_, SessionError>(stream.inner)
        });
        let mut events =
            handed_over.await.map_err(|_| SessionError::SessionServiceTerminated)??;
        let events = poll_fn(move |context| events.poll_recv(context));
        Ok(self.noted(session_id, events).right_stream())
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        Ok(taken(self.inner.create_standalone_stream(id).await?))
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        match self.inner.resume(id, last_event_id.clone()).await {
            Ok(stream) => {
                // On the stream of a call, rmcp begins with the event that the client has seen
                // last. Not so on the GET stream: there its ids are one behind.
                let unseen = move |event: &ServerSseMessage| {
                    let again = event.event_id.as_deref() == Some(&*last_event_id);
                    ready(!(again && last_event_id.contains('/')))
                };
                Ok(self.noted(id, stream.filter(unseen)).left_stream())
            }
            Err(forgotten) => match self.kept_answer(id, &last_event_id) {
                Some(answer) => Ok(once(async { answer }).right_stream()),
                None => Err(forgotten),
            },
        }
    }
}

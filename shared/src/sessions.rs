//! rmcp's sessions for HTTP 2025-11-25, with a say in how a cancelled call ends.

use futures::{Stream, StreamExt};
use rmcp::model::{ClientJsonRpcMessage, ClientNotification, JsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_server::session::local::{
    LocalSessionManager, LocalSessionManagerError,
};
use rmcp::transport::streamable_http_server::session::{
    RestoreOutcome, ServerSseMessage, SessionId, SessionManager,
};

use crate::terminate::{CancelAware, Hidden};
use crate::wrong::{FlawedTransport, HangUp, Wrong};

/// rmcp's sessions for HTTP 2025-11-25, each with a [`CancelAware`] transport.
///
/// rmcp's session worker closes a call's stream, without an answer, when it sees a cancel
/// for its id pass. So [`Sessions::accept_message`] moves the id from the params, where the
/// worker looks, to the extensions, and [`CancelAware`] moves it back. The notification
/// itself takes its usual way, so it cannot overtake the call it cancels.
#[derive(Debug)]
pub struct Sessions {
    inner: LocalSessionManager,
    wrong: Option<Wrong>,
}

impl Sessions {
    /// Sessions of a server, which may be wrong on purpose.
    pub fn new(wrong: Option<Wrong>) -> Self {
        Self { inner: LocalSessionManager::default(), wrong }
    }
}

impl SessionManager for Sessions {
    type Error = LocalSessionManagerError;
    type Transport =
        CancelAware<FlawedTransport<<LocalSessionManager as SessionManager>::Transport>>;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        let (id, transport) = self.inner.create_session().await?;
        Ok((id, CancelAware::answering(FlawedTransport::new(transport, self.wrong))))
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

    async fn has_session(&self, id: &SessionId) -> Result<bool, Self::Error> {
        self.inner.has_session(id).await
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Self::Error> {
        self.inner.close_session(id).await
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let hang_up = match (self.wrong, &message) {
            (Some(Wrong::Hasty), JsonRpcMessage::Request(request)) => {
                let session = self.inner.sessions.read().await.get(id).cloned();
                session.map(|session| HangUp { session, id: request.id.clone() })
            }
            _ => None,
        };
        let stream = self.inner.create_stream(id, message).await?;
        // The stream owns it, and drops it when it is dropped itself.
        Ok(stream.inspect(move |_| {
            let _ = &hang_up;
        }))
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.inner.create_standalone_stream(id).await
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.inner.resume(id, last_event_id).await
    }

    async fn restore_session(
        &self,
        id: SessionId,
    ) -> Result<RestoreOutcome<Self::Transport>, Self::Error> {
        // Only asked when sessions are kept in an external store; these are not.
        let _ = id;
        Ok(RestoreOutcome::NotSupported)
    }
}

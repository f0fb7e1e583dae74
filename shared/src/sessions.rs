//! rmcp's sessions for HTTP 2025-11-25, with a say in how a cancelled call ends.

use futures::Stream;
use rmcp::model::{ClientJsonRpcMessage, ClientNotification, JsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_server::session::local::{
    LocalSessionManager, LocalSessionManagerError,
};
use rmcp::transport::streamable_http_server::session::{
    ServerSseMessage, SessionId, SessionManager,
};

use crate::between::{Between, Tapped};
use crate::cancel::{CancelAware, Hidden};

/// rmcp's sessions for HTTP 2025-11-25, each with a [`CancelAware`] transport.
///
/// rmcp's session worker closes a call's stream, without an answer, when it sees a cancel
/// for its id pass. So [`Sessions::accept_message`] moves the id from the params, where the
/// worker looks, to the extensions, and [`CancelAware`] moves it back. The notification
/// itself takes its usual way, so it cannot overtake the call it cancels.
pub(crate) struct Sessions {
    inner: LocalSessionManager,
    between: Between,
}

impl Sessions {
    pub(crate) fn new(between: Between) -> Self {
        Self { inner: LocalSessionManager::default(), between }
    }
}

impl SessionManager for Sessions {
    type Error = LocalSessionManagerError;
    type Transport = CancelAware<Tapped<<LocalSessionManager as SessionManager>::Transport>>;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        let (id, transport) = self.inner.create_session().await?;
        Ok((id, CancelAware::answering(Tapped::new(transport, self.between.connection()))))
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
        self.inner.create_stream(id, message).await
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
}

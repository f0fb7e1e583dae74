//! What a server says, and no longer says, about a call that its client cancelled.
//!
//! Both revisions agree that a cancelled request gets no result and no further message
//! (basic/utilities/cancellation; 2026-07-28 says MUST NOT). rmcp drops the result. Two
//! things are left to do on a connection that carries `notifications/cancelled`, and
//! [`CancelAware`] does them where the messages pass:
//!
//! - Silence: a progress notification that was under way when the cancel came in is
//!   dropped, instead of following the client to its GET stream.
//! - On HTTP 2025-11-25, an end: the client's POST waits for an answer. With none it
//!   would hang, or resume and hang. The exchange is closed with the JSON-RPC error -32800
//!   "Request cancelled", as the Python SDK 2.x does. It goes out the way any answer does,
//!   so it comes once, and only for a call that is open in the session that cancelled it.
//!
//! A cancel that names no open call (unknown, finished, malformed) goes no further: the
//! specification wants it ignored.

use std::collections::HashMap;

use rmcp::RoleServer;
use rmcp::model::{
    CancelledNotification, ClientNotification, ErrorCode, ErrorData, GetExtensions, GetMeta,
    JsonRpcMessage, ProgressToken, RequestId, ServerNotification,
};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;

use crate::calls::CancelReason;

/// "Request cancelled", a code of the Language Server Protocol. MCP defines none.
pub const REQUEST_CANCELLED: ErrorCode = ErrorCode(-32800);

/// A server's transport that knows which calls are open, and closes those that are cancelled.
#[derive(Debug)]
pub struct CancelAware<T> {
    inner: T,
    answers: bool,
    open: HashMap<RequestId, (Option<ProgressToken>, CancelReason)>,
}

impl<T> CancelAware<T> {
    /// For stdio: a cancelled call is met with silence.
    pub fn silent(inner: T) -> Self {
        Self { inner, answers: false, open: HashMap::new() }
    }

    /// For HTTP 2025-11-25: a cancelled call's POST ends with the error -32800.
    pub fn answering(inner: T) -> Self {
        Self { answers: true, ..Self::silent(inner) }
    }
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for CancelAware<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let passes = match &message {
            JsonRpcMessage::Response(response) => {
                self.open.remove(&response.id);
                true
            }
            JsonRpcMessage::Error(error) => {
                error.id.as_ref().map(|id| self.open.remove(id));
                true
            }
            JsonRpcMessage::Notification(notification) => match &notification.notification {
                ServerNotification::ProgressNotification(progress) => {
                    let token = Some(&progress.params.progress_token);
                    self.open.values().any(|(open, _)| open.as_ref() == token)
                }
                _ => true,
            },
            JsonRpcMessage::Request(_) => true,
        };
        let sending = passes.then(|| self.inner.send(message));
        async move {
            match sending {
                Some(sending) => sending.await,
                None => Ok(()),
            }
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let mut message = self.inner.receive().await?;
            match &mut message {
                JsonRpcMessage::Request(request) => {
                    let reason = CancelReason::default();
                    request.request.extensions_mut().insert(reason.clone());
                    let token = request.request.get_meta().get_progress_token();
                    self.open.insert(request.id.clone(), (token, reason));
                }
                JsonRpcMessage::Notification(notification) => {
                    if let ClientNotification::CancelledNotification(cancel) =
                        &mut notification.notification
                        && !self.close(cancel)
                    {
                        continue;
                    }
                }
                _ => {}
            }
            return Some(message);
        }
    }

    fn close(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        self.inner.close()
    }
}

impl<T: Transport<RoleServer>> CancelAware<T> {
    /// Closes the call that the notification names. False if no such call is open.
    fn close(&mut self, cancel: &mut CancelledNotification) -> bool {
        unhide(cancel);
        // Ids are typed: "2" does not name the call 2.
        let Some(id) = cancel.params.request_id.clone() else { return false };
        let Some((_, reason)) = self.open.remove(&id) else { return false };
        if let Some(given) = cancel.params.reason.clone() {
            reason.set(given);
        }
        if self.answers {
            let error = ErrorData::new(REQUEST_CANCELLED, "Request cancelled", None);
            tokio::spawn(self.inner.send(JsonRpcMessage::error(error, Some(id))));
        }
        true
    }
}

/// The id of a cancelled request, on its way past rmcp's session worker.
#[derive(Debug, Clone)]
pub(crate) struct Hidden(pub(crate) RequestId);

/// Puts the id of a cancelled request back where it belongs, if it was hidden.
pub fn unhide(cancel: &mut CancelledNotification) {
    if let Some(Hidden(id)) = cancel.extensions.remove() {
        cancel.params.request_id = Some(id);
    }
}

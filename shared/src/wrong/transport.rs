//! A connection that says what it should not.

use std::collections::HashMap;

use rmcp::RoleServer;
use rmcp::model::{
    CallToolResult, CancelTaskParams, CancelTaskRequest, CancelledNotification,
    CancelledNotificationParam, ClientJsonRpcMessage, ClientNotification, ClientRequest,
    ContentBlock, GetMeta, JsonRpcMessage, ProgressNotification, ProgressNotificationParam,
    ProgressToken, RequestId, RequestMetaObject, ServerResult,
};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::streamable_http_server::session::local::LocalSessionHandle;
use tokio::time::{Duration, Instant, sleep_until};

use super::Wrong;
use crate::terminate::unhide;

/// How late a lingering server notices that its client is gone: later than a story waits.
const LATE: Duration = Duration::from_secs(12);

/// A server's transport, below all that would keep it from being wrong. Without a flaw it
/// is the transport it wraps.
#[derive(Debug)]
pub struct FlawedTransport<T> {
    inner: T,
    wrong: Option<Wrong>,
    open: HashMap<RequestId, Option<ProgressToken>>,
    /// Answers that should not be given, not yet sent.
    owed: Vec<TxJsonRpcMessage<RoleServer>>,
    /// Calls of which the server should no longer speak, and will.
    cancelled: Vec<ProgressToken>,
    /// The tasks that requests became.
    tasks: HashMap<RequestId, String>,
    /// What the last request's client said of itself.
    meta: RequestMetaObject,
    /// When a lingering server is to notice that its client is gone.
    gone: Option<Instant>,
}

impl<T> FlawedTransport<T> {
    /// Breaks the transport, if it is to be wrong.
    pub fn new(inner: T, wrong: Option<Wrong>) -> Self {
        let (open, owed, cancelled, tasks, meta, gone) = Default::default();
        Self { inner, wrong, open, owed, cancelled, tasks, meta, gone }
    }
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for FlawedTransport<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        if let JsonRpcMessage::Response(response) = &message {
            self.open.remove(&response.id);
            if self.wrong == Some(Wrong::Jumpy)
                && let ServerResult::CreateTaskResult(created) = &response.result
            {
                self.tasks.insert(response.id.clone(), created.task.task_id.clone());
            }
        }
        // What should not be said goes out before the next thing that may be said: so whoever
        // waits for that has been sent this.
        let mut late: Vec<_> = self.owed.drain(..).collect();
        for token in &self.cancelled {
            let progress = ProgressNotificationParam::new(token.clone(), 1.0);
            late.push(JsonRpcMessage::notification(ProgressNotification::new(progress).into()));
        }
        if self.wrong == Some(Wrong::Twice) && matches!(message, JsonRpcMessage::Response(_)) {
            late.push(message.clone());
        }
        let late: Vec<_> =
            late.into_iter().map(|late| tokio::spawn(self.inner.send(late))).collect();
        let sending = self.inner.send(message);
        async move {
            for late in late {
                // Whether it arrives is no concern of the message that goes out next.
                let _ = late.await;
            }
            sending.await
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        let Some(mut message) = self.inner.receive().await else {
            if self.wrong == Some(Wrong::Lingering) {
                // Who waits here may be interrupted, and come back.
                sleep_until(*self.gone.get_or_insert_with(|| Instant::now() + LATE)).await;
            }
            return None;
        };
        match &mut message {
            _ if self.wrong.is_none() => {}
            JsonRpcMessage::Request(request) => {
                let token = request.request.get_meta().get_progress_token();
                self.open.insert(request.id.clone(), token);
                self.meta = request.request.get_meta().clone();
            }
            JsonRpcMessage::Notification(notification) => {
                let notification = &mut notification.notification;
                if self.wrong == Some(Wrong::Lsp) {
                    translate(notification);
                }
                if let ClientNotification::CancelledNotification(cancel) = notification {
                    unhide(cancel);
                    if let Some(cancel) = self.cancel_of_task(&cancel.params) {
                        return Some(cancel);
                    }
                    self.misread(&mut cancel.params.request_id);
                    self.talk(&cancel.params);
                }
            }
            _ => {}
        }
        Some(message)
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}

impl<T: Transport<RoleServer>> FlawedTransport<T> {
    /// Takes the cancel of a request for one of the task that the request became.
    fn cancel_of_task(
        &self,
        cancel: &CancelledNotificationParam,
    ) -> Option<RxJsonRpcMessage<RoleServer>> {
        let request = cancel.request_id.as_ref().filter(|_| self.wrong == Some(Wrong::Jumpy))?;
        let cancel = CancelTaskRequest::new(CancelTaskParams::new(self.tasks.get(request)?));
        let mut cancel = ClientRequest::CancelTaskRequest(cancel);
        *cancel.get_meta_mut() = self.meta.clone();
        Some(JsonRpcMessage::request(cancel, RequestId::String("jumpy".into())))
    }

    /// Takes the id of a cancel for another one.
    fn misread(&self, id: &mut Option<RequestId>) {
        match (self.wrong, &id) {
            (Some(Wrong::Lax), Some(RequestId::String(text))) => {
                *id = text.parse().ok().map(RequestId::Number);
            }
            (Some(Wrong::Jumpy), _) => *id = self.open.keys().next().cloned(),
            _ => {}
        }
    }

    /// Finds something to say about a cancel that is best met with silence.
    fn talk(&mut self, cancel: &CancelledNotificationParam) {
        let Some(id) = cancel.request_id.clone() else { return };
        let open = self.open.remove(&id);
        match (self.wrong, open) {
            (Some(Wrong::Insistent), Some(_)) | (Some(Wrong::Touchy), None) => {
                let result = CallToolResult::success(vec![ContentBlock::text("too late")]);
                let result = ServerResult::CallToolResult(result);
                self.owed.push(JsonRpcMessage::response(result, id));
            }
            (Some(Wrong::Chatty), Some(Some(token))) => self.cancelled.push(token),
            _ => {}
        }
    }
}

/// The stream of a call's answer, in the hands of a hasty server: dropped, it cancels the call.
pub(crate) struct HangUp {
    pub(crate) session: LocalSessionHandle,
    pub(crate) id: RequestId,
}

impl Drop for HangUp {
    fn drop(&mut self) {
        let (session, id) = (self.session.clone(), self.id.clone());
        let cancel = CancelledNotificationParam::new(Some(id), None);
        let cancel = CancelledNotification::new(cancel);
        tokio::spawn(async move {
            session.push_message(ClientJsonRpcMessage::notification(cancel.into()), None).await
        });
    }
}

/// Makes a cancel out of `$/cancelRequest`.
fn translate(notification: &mut ClientNotification) {
    if let ClientNotification::CustomNotification(custom) = notification
        && custom.method == "$/cancelRequest"
        && let Some(params) = &custom.params
    {
        let id = serde_json::from_value(params["id"].clone()).ok();
        let cancel = CancelledNotification::new(CancelledNotificationParam::new(id, None));
        *notification = ClientNotification::CancelledNotification(cancel);
    }
}

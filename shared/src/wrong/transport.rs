//! A connection that says what it should not.

use std::collections::HashMap;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{
    CallToolResult, CancelledNotification, CancelledNotificationParam, ClientNotification,
    ContentBlock, GetMeta, JsonRpcMessage, ProgressNotification, ProgressNotificationParam,
    ProgressToken, RequestId, ServerResult,
};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::time::sleep;

use super::Wrong;
use crate::terminate::unhide;

/// A server's transport, below all that would keep it from being wrong. Without a flaw it
/// is the transport it wraps.
#[derive(Debug)]
pub struct FlawedTransport<T> {
    inner: T,
    wrong: Option<Wrong>,
    open: HashMap<RequestId, Option<ProgressToken>>,
}

impl<T> FlawedTransport<T> {
    /// Breaks the transport, if it is to be wrong.
    pub fn new(inner: T, wrong: Option<Wrong>) -> Self {
        Self { inner, wrong, open: HashMap::new() }
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
            if self.wrong == Some(Wrong::Twice) {
                tokio::spawn(self.inner.send(message.clone()));
            }
        }
        self.inner.send(message)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        let mut message = self.inner.receive().await?;
        match &mut message {
            _ if self.wrong.is_none() => {}
            JsonRpcMessage::Request(request) => {
                let token = request.request.get_meta().get_progress_token();
                self.open.insert(request.id.clone(), token);
            }
            JsonRpcMessage::Notification(notification) => {
                let notification = &mut notification.notification;
                if self.wrong == Some(Wrong::Lsp) {
                    translate(notification);
                }
                if let ClientNotification::CancelledNotification(cancel) = notification {
                    unhide(cancel);
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

    /// Says something about a cancel that is best met with silence.
    fn talk(&mut self, cancel: &CancelledNotificationParam) {
        let Some(id) = cancel.request_id.clone() else { return };
        let open = self.open.remove(&id);
        match (self.wrong, open) {
            (Some(Wrong::Insistent), Some(_)) | (Some(Wrong::Touchy), None) => {
                let result = CallToolResult::success(vec![ContentBlock::text("too late")]);
                let result = ServerResult::CallToolResult(result);
                let sending = self.inner.send(JsonRpcMessage::response(result, id));
                // Not so soon that it could be taken for an answer that crossed the cancel.
                tokio::spawn(async move {
                    sleep(Duration::from_millis(20)).await;
                    sending.await
                });
            }
            (Some(Wrong::Chatty), Some(Some(token))) => {
                for row in 1..=20 {
                    let late = ProgressNotificationParam::new(token.clone(), f64::from(row));
                    let late = ProgressNotification::new(late);
                    let sending = self.inner.send(JsonRpcMessage::notification(late.into()));
                    tokio::spawn(async move {
                        sleep(Duration::from_millis(10) * row).await;
                        sending.await
                    });
                }
            }
            _ => {}
        }
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

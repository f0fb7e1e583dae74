//! A connection that says what it should not.

use std::collections::HashMap;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use futures::StreamExt;
use futures::future::BoxFuture;
use hosting::between::Tap;
use hosting::cancel::unhide;
use rmcp::RoleServer;
use rmcp::model::{
    CallToolResult, CancelTaskParams, CancelTaskRequest, CancelledNotification,
    CancelledNotificationParam, ClientNotification, ClientRequest, ContentBlock, GetMeta,
    JsonRpcMessage, ProgressNotification, ProgressNotificationParam, ProgressToken, RequestId,
    RequestMetaObject, ServerResult,
};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep_until};

use crate::Wrong;

/// How late a lingering server notices that its client is gone: later than a story waits.
const LATE: Duration = Duration::from_secs(12);

/// A connection with a flaw, beneath the layers that would correct it.
#[derive(Debug)]
pub(crate) struct Flawed {
    wrong: Wrong,
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

impl Tap for Flawed {
    fn before(
        &mut self,
        message: &TxJsonRpcMessage<RoleServer>,
    ) -> Vec<TxJsonRpcMessage<RoleServer>> {
        if let JsonRpcMessage::Response(response) = message {
            self.open.remove(&response.id);
            if self.wrong == Wrong::Jumpy
                && let ServerResult::CreateTaskResult(created) = &response.result
            {
                self.tasks.insert(response.id.clone(), created.task.task_id.clone());
            }
        }
        // The forbidden message is sent just before the next allowed one. A client that has
        // received the allowed one has received both, so no test needs a delay.
        let mut late: Vec<_> = self.owed.drain(..).collect();
        for token in &self.cancelled {
            let progress = ProgressNotificationParam::new(token.clone(), 1.0);
            late.push(JsonRpcMessage::notification(ProgressNotification::new(progress).into()));
        }
        if self.wrong == Wrong::Twice && matches!(message, JsonRpcMessage::Response(_)) {
            late.push(message.clone());
        }
        late
    }

    fn received(
        &mut self,
        mut message: RxJsonRpcMessage<RoleServer>,
    ) -> RxJsonRpcMessage<RoleServer> {
        match &mut message {
            JsonRpcMessage::Request(request) => {
                let token = request.request.get_meta().get_progress_token();
                self.open.insert(request.id.clone(), token);
                self.meta = request.request.get_meta().clone();
            }
            JsonRpcMessage::Notification(notification) => {
                let notification = &mut notification.notification;
                if self.wrong == Wrong::Lsp {
                    translate(notification);
                }
                if let ClientNotification::CancelledNotification(cancel) = notification {
                    unhide(cancel);
                    if let Some(cancel) = self.cancel_of_task(&cancel.params) {
                        return cancel;
                    }
                    self.misread(&mut cancel.params.request_id);
                    self.talk(&cancel.params);
                }
            }
            _ => {}
        }
        message
    }

    fn ended(&mut self) -> BoxFuture<'static, ()> {
        match self.wrong {
            // The caller may be interrupted and ask again, so the moment is kept.
            Wrong::Lingering => {
                let gone = *self.gone.get_or_insert_with(|| Instant::now() + LATE);
                Box::pin(sleep_until(gone))
            }
            _ => Box::pin(std::future::ready(())),
        }
    }
}

impl Flawed {
    /// This flaw, in one connection.
    pub(crate) fn new(wrong: Wrong) -> Self {
        let (open, owed, cancelled, tasks, meta, gone) = Default::default();
        Self { wrong, open, owed, cancelled, tasks, meta, gone }
    }

    /// Takes the cancel of a request for one of the task that the request became.
    fn cancel_of_task(
        &self,
        cancel: &CancelledNotificationParam,
    ) -> Option<RxJsonRpcMessage<RoleServer>> {
        let request = cancel.request_id.as_ref().filter(|_| self.wrong == Wrong::Jumpy)?;
        let cancel = CancelTaskRequest::new(CancelTaskParams::new(self.tasks.get(request)?));
        let mut cancel = ClientRequest::CancelTaskRequest(cancel);
        *cancel.get_meta_mut() = self.meta.clone();
        Some(JsonRpcMessage::request(cancel, RequestId::String("jumpy".into())))
    }

    /// Takes the id of a cancel for another one.
    fn misread(&self, id: &mut Option<RequestId>) {
        match (self.wrong, &id) {
            (Wrong::Lax, Some(RequestId::String(text))) => {
                *id = text.parse().ok().map(RequestId::Number);
            }
            (Wrong::Jumpy, _) => *id = self.open.keys().next().cloned(),
            _ => {}
        }
    }

    /// Finds something to say about a cancel that is best met with silence.
    fn talk(&mut self, cancel: &CancelledNotificationParam) {
        let Some(id) = cancel.request_id.clone() else { return };
        let open = self.open.remove(&id);
        match (self.wrong, open) {
            (Wrong::Insistent, Some(_)) | (Wrong::Touchy, None) => {
                let result = CallToolResult::success(vec![ContentBlock::text("too late")]);
                let result = ServerResult::CallToolResult(result);
                self.owed.push(JsonRpcMessage::response(result, id));
            }
            (Wrong::Chatty, Some(Some(token))) => self.cancelled.push(token),
            _ => {}
        }
    }
}

/// Routes that take a lost connection for a cancel: when a call's response is dropped before
/// its end, they POST `notifications/cancelled` for it.
pub(crate) fn hang_up_cancels(routes: Router) -> Router {
    routes.layer(from_fn(async |request: Request, next: Next| {
        let (head, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        let mut hang_up = (head.method == Method::POST && message.get("id").is_some()).then(|| {
            let params = json!({ "requestId": message["id"] });
            let cancel = json!({
                "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params
            });
            let mut request = Request::new(Body::from(cancel.to_string()));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = head.uri.clone();
            request.headers_mut().extend(head.headers.clone());
            request.headers_mut().remove("content-length");
            HangUp { cancel: Some((next.clone(), request)) }
        });
        let response = next.run(Request::from_parts(head, Body::from(body))).await;
        let (head, body) = response.into_parts();
        // The stream owns the guard. It disarms it at its own end, and drops it otherwise.
        let body = body.into_data_stream().map(Some).chain(futures::stream::once(async { None }));
        let body = body.filter_map(move |part: Option<Result<Bytes, axum::Error>>| {
            if let (None, Some(hang_up)) = (&part, &mut hang_up) {
                hang_up.cancel = None;
            }
            std::future::ready(part)
        });
        Response::from_parts(head, Body::from_stream(body))
    }))
}

struct HangUp {
    cancel: Option<(Next, Request)>,
}

impl Drop for HangUp {
    fn drop(&mut self) {
        if let Some((next, cancel)) = self.cancel.take() {
            tokio::spawn(next.run(cancel));
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

//! What a server says, and no longer says, about a call that its client cancelled.
//!
//! Both revisions agree that a cancelled request gets no result and no further message
//! (basic/patterns/cancellation; 2026-07-28 says MUST NOT). rmcp drops the result. Two
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
//! specification wants it ignored. A request with the id of an open one is refused.
//!
//! When the input ends, rmcp stops serving: it delivers answers for five more seconds, but no
//! progress, so a tool that reports some hangs until then. [`CancelAware`] therefore passes on
//! the end only when no call is open:
//!
//! - A session of 2025-11-25 was deleted, or it idled out: its calls are cancelled at once.
//! - The input of a server on stdio has ended: its client may still read
//!   (`printf .. | server`), so the calls have [`LINGER`] to end. Then they are cancelled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{
    CancelledNotification, CancelledNotificationParam, ClientNotification, ErrorCode, ErrorData,
    GetExtensions, GetMeta, JsonRpcMessage, RequestId, ServerNotification,
};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::open_calls::OpenCalls;
use shared::note::{CallNote, Cause};

/// How long the calls of a server on stdio may go on when its input has ended. Then they are told to
/// stop. Clients that wait for a server's end send SIGTERM after two or three seconds.
pub const LINGER: Duration = Duration::from_secs(2);

/// "Request cancelled", a code of the Language Server Protocol. MCP defines none.
pub const REQUEST_CANCELLED: ErrorCode = ErrorCode(-32800);

/// A server's transport that knows which calls are open, and closes those that are cancelled.
#[derive(Debug)]
pub struct CancelAware<T> {
    inner: T,
    answers: bool,
    /// How long calls may go on when the input has ended.
    linger: Duration,
    open: OpenCalls,
    /// Held while a message is sent, so that nothing can overtake the end of a call.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// A message could not be sent: nobody reads.
    broken: Arc<AtomicBool>,
    /// When what is still open is cancelled. Set when the input has ended.
    deadline: Option<Instant>,
    /// Fires at the end of that time, on stdio: what could not be written by then is given up.
    /// Else a client that reads no more would keep the server for ever.
    late: CancellationToken,
}

impl<T> CancelAware<T> {
    /// For stdio: a cancelled call is met with silence.
    pub fn silent(inner: T) -> Self {
        let (open, turn, broken, deadline, late) = Default::default();
        Self { inner, answers: false, linger: LINGER, open, turn, broken, deadline, late }
    }

    /// For HTTP 2025-11-25: a cancelled call's POST ends with the error -32800.
    pub fn answering(inner: T) -> Self {
        Self { answers: true, ..Self::silent(inner) }.lingering(Duration::ZERO)
    }

    /// The end of the input cancels all calls that are still open after this time.
    #[must_use]
    pub fn lingering(self, linger: Duration) -> Self {
        Self { linger, ..self }
    }

    /// The calls that are open on this connection.
    pub(crate) fn open(&self) -> OpenCalls {
        self.open.clone()
    }
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for CancelAware<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let answered = match &message {
            JsonRpcMessage::Response(response) => Some(&response.id),
            JsonRpcMessage::Error(error) => error.id.as_ref(),
            JsonRpcMessage::Notification(_) | JsonRpcMessage::Request(_) => None,
        };
        if let Some(call) = answered.and_then(|id| self.open.end(id)) {
            self.open.keep(&call, &message);
        }
        self.send_in_turn(message)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        while self.deadline.is_none() {
            let Some(mut message) = self.inner.receive().await else {
                let deadline = Instant::now() + self.linger;
                self.deadline = Some(deadline);
                if !self.answers {
                    let late = self.late.clone();
                    tokio::spawn(async move {
                        sleep_until(deadline).await;
                        late.cancel();
                    });
                }
                break;
            };
            match &mut message {
                JsonRpcMessage::Request(request) => {
                    let note = CallNote::default();
                    let token = request.request.get_meta().get_progress_token();
                    if !self.open.begin(&request.id, token, note.clone()) {
                        tokio::spawn(self.send_in_turn(refusal(request.id.clone())));
                        continue;
                    }
                    request.request.extensions_mut().insert(note);
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
        self.cancel_next().await
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        let late = self.late.clone();
        tokio::select! {
            closed = self.inner.close() => closed,
            () = late.cancelled() => Ok(()),
        }
    }
}

impl<T: Transport<RoleServer>> CancelAware<T> {
    /// Sends the message when those before it are sent. rmcp gives every message a task of its
    /// own, so progress can get its turn after the end of its call: then it is dropped.
    fn send_in_turn(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), T::Error>> + Send + 'static {
        let token = match &message {
            JsonRpcMessage::Notification(notification) => match &notification.notification {
                ServerNotification::ProgressNotification(progress) => {
                    Some(progress.params.progress_token.clone())
                }
                _ => None,
            },
            _ => None,
        };
        let sending = self.inner.send(message);
        let (turn, open, broken) = (self.turn.clone(), self.open.clone(), self.broken.clone());
        let late = self.late.clone();
        let in_turn = async move {
            let _turn = turn.lock().await;
            if token.is_some_and(|token| !open.has_token(&token)) {
                return Ok(());
            }
            sending.await.inspect_err(|_| broken.store(true, Ordering::Relaxed))
        };
        async move {
            tokio::select! {
                biased;
                sent = in_turn => sent,
                () = late.cancelled() => {
                    warn!("the input has ended and nobody reads the output: a message is given up");
                    Ok(())
                }
            }
        }
    }

    /// The input has ended: a cancel for the next open call, in its time; none if none is open.
    async fn cancel_next(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        // No call can end while this waits: `send` needs the transport for itself. So rmcp
        // drops this future when it has something to send, and calls `receive` again.
        let id = self.open.any()?;
        if !self.broken.load(Ordering::Relaxed) {
            sleep_until(self.deadline?).await;
        }
        if let Some(call) = self.open.cancel(&id) {
            // A session that nobody has closed has fallen silent for too long.
            let idle = self.answers && !self.open.is_closed();
            call.note.set_cause(if idle { Cause::Timeout } else { Cause::Disconnect });
        }
        let cancel = CancelledNotificationParam::new(Some(id), None);
        Some(JsonRpcMessage::notification(CancelledNotification::new(cancel).into()))
    }

    /// Closes the call that the notification names. False if no such call is open.
    fn close(&mut self, cancel: &mut CancelledNotification) -> bool {
        unhide(cancel);
        // Ids are typed: "2" does not name the call 2.
        let Some(id) = cancel.params.request_id.clone() else { return false };
        let Some(call) = self.open.cancel(&id) else { return false };
        call.note.set_cause(Cause::Notification);
        if let Some(reason) = &cancel.params.reason {
            call.note.set_reason(reason);
        }
        if self.answers {
            let error = ErrorData::new(REQUEST_CANCELLED, "Request cancelled", None);
            let error = JsonRpcMessage::error(error, Some(id));
            self.open.keep(&call, &error);
            tokio::spawn(self.send_in_turn(error));
        }
        true
    }
}

/// The answer to a second request with the id of one at work. The specification forbids the
/// client to send it (basic: the id MUST NOT have been used before). rmcp would mix the two up:
/// a cancel would reach the second only, and the first would lose its stream. If the first is
/// cancelled and still cleans up, its result would even become the answer of the second.
pub(crate) fn refusal(id: RequestId) -> TxJsonRpcMessage<RoleServer> {
    let why = format!("a request with the id {id} is still at work; give each request its own id");
    JsonRpcMessage::error(ErrorData::invalid_request(why, None), Some(id))
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

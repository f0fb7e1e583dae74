//! A bridge that relays: it passes messages on as they are.
//!
//! Ids and progress tokens keep their values, so nothing has to be translated: the cancel names
//! the id that the server knows. All that MCP has passes, also what the server asks and says by
//! itself. It needs the same revision and the same way of cancelling on both sides, and one host
//! for one connection to the server.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use rmcp::model::{
    CancelledNotification, CancelledNotificationParam, ClientJsonRpcMessage, ClientNotification,
    ErrorData, JsonRpcMessage, RequestId,
};
use rmcp::transport::Transport;
use rmcp::{RoleClient, RoleServer};
use shared::stop::Stop;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::translate::OVERTAKE;

/// How long the last messages may take.
const LAST: Duration = Duration::from_secs(5);

/// How a relay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The host has ended the connection. So many calls are still on the relay's list: none, if
    /// each was answered or cancelled.
    Host(usize),
    /// The server is gone.
    Server,
    /// The relay was told to stop.
    Stopped,
}

/// Relays between a host and a server, until one of them is gone or `stop` says so.
///
/// `host` is to be a `hosting::cancel::CancelAware`: it keeps silence about cancelled calls, drops
/// cancels that name none, and cancels what is open when the host is gone.
pub async fn relay<H, S>(mut host: H, mut server: S, stop: Stop) -> End
where
    H: Transport<RoleServer>,
    S: Transport<RoleClient>,
{
    // The calls that wait for an answer, and whether each has been sent.
    let mut open = HashMap::<RequestId, CancellationToken>::new();
    // Cancels that wait until their calls have been sent, so that none overtakes its call; and
    // what is on its way, to the server or to the host.
    let mut cancels = FuturesUnordered::new();
    let leaving = TaskTracker::new();
    let (failed, mut failures) = mpsc::unbounded_channel::<(RequestId, ErrorData)>();
    let end = loop {
        tokio::select! {
            () = stop.token().cancelled() => break End::Stopped,
            message = host.receive() => {
                let Some(message) = message else { break End::Host(open.len()) };
                let mut call = None;
                match &message {
                    JsonRpcMessage::Request(request) => {
                        let sent = CancellationToken::new();
                        open.insert(request.id.clone(), sent.clone());
                        call = Some((request.id.clone(), sent));
                    }
                    JsonRpcMessage::Notification(_) => {
                        if let Some(sent) = cancelled(&message).and_then(|id| open.remove(id)) {
                            cancels.push(once_sent(message, Some(sent)));
                            continue;
                        }
                    }
                    JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {}
                }
                let (sending, failed) = (server.send(message), failed.clone());
                let sending = begin(async move {
                    let outcome = sending.await;
                    let Some((id, sent)) = call else { return };
                    sent.cancel();
                    if let Err(error) = outcome {
                        let why = format!("the bridge did not reach the server: {error}");
                        let _ = failed.send((id, ErrorData::internal_error(why, None)));
                    }
                });
                sending.map(tokio::spawn);
            }
            Some((cancel, in_vain)) = cancels.next() => {
                if in_vain {
                    cancels.push(once_sent(cancel.clone(), None));
                }
                leaving.spawn(server.send(cancel));
            }
            message = server.receive() => {
                let Some(message) = message else { break End::Server };
                let answered = match &message {
                    JsonRpcMessage::Response(response) => Some(&response.id),
                    JsonRpcMessage::Error(error) => error.id.as_ref(),
                    _ => None,
                };
                // An answer to a call that has been cancelled is dropped.
                // A host that reads slowly must not keep its own cancels waiting.
                if answered.is_none_or(|id| open.remove(id).is_some()) {
                    begin(host.send(message)).map(|sending| leaving.spawn(sending));
                }
            }
            Some((id, error)) = failures.recv() => {
                if open.remove(&id).is_some() {
                    let error = JsonRpcMessage::error(error, Some(id));
                    begin(host.send(error)).map(|sending| leaving.spawn(sending));
                }
            }
        }
    };
    // The host is gone, or this stops: the last cancels go out before the session ends. The server
    // is gone, or this stops: everybody who waits is told.
    let why = match end {
        End::Stopped => "the bridge is shutting down",
        _ => "the server behind the bridge is gone",
    };
    for (id, sent) in open {
        if end == End::Stopped {
            let cancel = CancelledNotificationParam::new(Some(id.clone()), Some(why.to_owned()));
            let cancel = CancelledNotification::new(cancel).into();
            cancels.push(once_sent(JsonRpcMessage::notification(cancel), Some(sent)));
        }
        let error = ErrorData::internal_error(why, None);
        leaving.spawn(host.send(JsonRpcMessage::error(error, Some(id))));
    }
    while let Some((cancel, _)) = cancels.next().await {
        leaving.spawn(server.send(cancel));
    }
    leaving.close();
    let _ = timeout(LAST, leaving.wait()).await;
    // Not for ever: rmcp does not give up an HTTP handshake that has begun.
    let _ = timeout(LAST, server.close()).await;
    end
}

/// A cancel, when its call has been sent, or after [`OVERTAKE`]. True: it has waited in vain, so it is
/// sent again later.
async fn once_sent(
    cancel: ClientJsonRpcMessage,
    sent: Option<CancellationToken>,
) -> (ClientJsonRpcMessage, bool) {
    let Some(sent) = sent else {
        sleep(OVERTAKE).await;
        return (cancel, false);
    };
    let in_vain = timeout(OVERTAKE, sent.cancelled()).await.is_err();
    (cancel, in_vain)
}

/// Starts to send at once, so that messages keep their order. What is left of it goes on in a task
/// of its own: on HTTP a request is sent when its response has begun.
fn begin<F: Future>(sending: F) -> Option<Pin<Box<F>>> {
    let mut sending = Box::pin(sending);
    sending.as_mut().now_or_never().is_none().then_some(sending)
}

/// The call that this message cancels.
fn cancelled(message: &ClientJsonRpcMessage) -> Option<&RequestId> {
    let JsonRpcMessage::Notification(notification) = message else { return None };
    let ClientNotification::CancelledNotification(cancel) = &notification.notification else {
        return None;
    };
    cancel.params.request_id.as_ref()
}

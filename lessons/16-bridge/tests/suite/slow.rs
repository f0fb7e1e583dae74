//! The relay, and a host that does not read.

use std::future::{pending, ready};
use std::io::{Error, Result};

use bridge::relay::{End, relay};
use course::lesson::Protocol;
use hosting::cancel::CancelAware;
use rmcp::RoleClient;
use rmcp::model::{ClientNotification, JsonRpcMessage, RequestId};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use serde_json::{Value, json};
use shared::stop::Stop;
use testing::raw::{CANCELLED, in_time, notification, steps, tool_call};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A server that call 1 does not reach. Call 3 is the end of it.
struct Server {
    cancels: mpsc::UnboundedSender<RequestId>,
    gone: bool,
}

impl Transport<RoleClient> for Server {
    type Error = Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<()>> + Send + 'static {
        let mut outcome = Ok(());
        match message {
            JsonRpcMessage::Request(call) if call.id == RequestId::Number(1) => {
                outcome = Err(Error::other("out of reach"));
            }
            JsonRpcMessage::Request(call) => self.gone = call.id == RequestId::Number(3),
            JsonRpcMessage::Notification(it) => {
                if let ClientNotification::CancelledNotification(cancel) = it.notification {
                    self.cancels.send(cancel.params.request_id.unwrap()).unwrap();
                }
            }
            _ => {}
        }
        ready(outcome)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        if self.gone { None } else { pending().await }
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A host that has written call 1, and has read one byte of the answer. The rest does not fit
/// into the pipe.
async fn host() -> (DuplexStream, mpsc::UnboundedReceiver<RequestId>, JoinHandle<End>) {
    let (mut host, far) = duplex(16);
    let (input, output) = split(far);
    let near = CancelAware::silent(AsyncRwTransport::new_server(input, output));
    let (cancels, cancelled) = mpsc::unbounded_channel();
    let server = Server { cancels, gone: false };
    let relaying = tokio::spawn(relay(near, server, Stop::default()));
    say(&mut host, &call(1)).await;
    in_time("an answer", host.read_exact(&mut [0])).await.unwrap();
    (host, cancelled, relaying)
}

fn call(id: u32) -> Value {
    tool_call(Protocol::V2025, &json!(id), "process_large_file", &steps(3600))
}

async fn say(host: &mut DuplexStream, message: &Value) {
    let line = format!("{message}\n");
    in_time("a reader", host.write_all(line.as_bytes())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_does_not_read_can_cancel() {
    let (mut host, mut cancelled, _relaying) = host().await;
    say(&mut host, &call(2)).await;
    say(&mut host, &notification(CANCELLED, &json!({ "requestId": 2 }))).await;
    assert_eq!(in_time("the cancel", cancelled.recv()).await, Some(RequestId::Number(2)));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_does_not_read_does_not_keep_the_relay() {
    let (mut host, _cancelled, relaying) = host().await;
    say(&mut host, &call(3)).await;
    assert_eq!(in_time("the end of the relay", relaying).await.unwrap(), End::Server);
}

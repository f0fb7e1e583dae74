//! What [`CancelAware`] hands out and lets through, one message at a time. The test has the
//! part of rmcp's service loop: it receives, and it decides when a message that is to be
//! sent is really sent.

use std::time::Duration;

use futures::FutureExt;
use hosting::cancel::CancelAware;
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, GetExtensions, JsonRpcMessage, NumberOrString,
    ProgressNotification, ProgressNotificationParam, ProgressToken, RequestId,
    ServerJsonRpcMessage, ServerResult,
};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use serde_json::{Value, json};
use shared::note::{CallNote, Cause};
use tokio::io::{
    AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf, duplex,
    split,
};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(30);

type Inner = AsyncRwTransport<rmcp::RoleServer, ReadHalf<DuplexStream>, WriteHalf<DuplexStream>>;

/// The client's side of a connection: lines in, lines out.
struct Peer {
    says: Option<WriteHalf<DuplexStream>>,
    hears: Lines<BufReader<ReadHalf<DuplexStream>>>,
}

/// A connection, and the transport that the server has of it.
fn connection(aware: fn(Inner) -> CancelAware<Inner>) -> (Peer, CancelAware<Inner>) {
    let (client, server) = duplex(1 << 16);
    let (hears, says) = split(client);
    let (input, output) = split(server);
    let peer = Peer { says: Some(says), hears: BufReader::new(hears).lines() };
    (peer, aware(AsyncRwTransport::new_server(input, output)))
}

impl Peer {
    async fn say(&mut self, message: Value) {
        let line = format!("{message}\n");
        self.says.as_mut().unwrap().write_all(line.as_bytes()).await.unwrap();
    }

    /// A call whose progress token is its id.
    async fn call(&mut self, id: i64) {
        let params = json!({ "name": "any", "_meta": { "progressToken": id } });
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        self.say(call).await;
    }

    async fn cancel(&mut self, id: i64) {
        let params = json!({ "requestId": id });
        let method = "notifications/cancelled";
        self.say(json!({ "jsonrpc": "2.0", "method": method, "params": params })).await;
    }

    /// Ends the server's input.
    async fn hang_up(&mut self) {
        self.says.take().unwrap().shutdown().await.unwrap();
    }

    async fn next(&mut self) -> Value {
        let line = timeout(DEADLINE, self.hears.next_line()).await.expect("a line in time");
        serde_json::from_str(&line.unwrap().expect("a line")).unwrap()
    }

    /// All that was sent and not yet read. The transport is gone, so nothing can follow.
    async fn rest(mut self) -> Vec<Value> {
        let mut rest = Vec::new();
        while let Some(line) = self.hears.next_line().await.unwrap() {
            rest.push(serde_json::from_str(&line).unwrap());
        }
        rest
    }
}

async fn receive(server: &mut CancelAware<Inner>) -> Option<ClientJsonRpcMessage> {
    timeout(DEADLINE, server.receive()).await.expect("a message, or the end, in time")
}

/// The id of the call that comes in next.
async fn receive_call(server: &mut CancelAware<Inner>) -> RequestId {
    match receive(server).await {
        Some(JsonRpcMessage::Request(request)) => request.id,
        other => panic!("not a call: {other:?}"),
    }
}

/// The id in the cancel that comes in next.
async fn receive_cancel(server: &mut CancelAware<Inner>) -> RequestId {
    match receive(server).await {
        Some(JsonRpcMessage::Notification(notification)) => match notification.notification {
            ClientNotification::CancelledNotification(cancel) => cancel.params.request_id.unwrap(),
            other => panic!("not a cancel: {other:?}"),
        },
        other => panic!("not a cancel: {other:?}"),
    }
}

fn number(id: i64) -> RequestId {
    NumberOrString::Number(id)
}

fn result(id: i64) -> ServerJsonRpcMessage {
    JsonRpcMessage::response(ServerResult::empty(()), number(id))
}

fn progress(token: i64) -> ServerJsonRpcMessage {
    let progress = ProgressNotificationParam::new(ProgressToken(number(token)), 1.0);
    JsonRpcMessage::notification(ProgressNotification::new(progress).into())
}

#[tokio::test]
async fn a_session_that_nobody_has_closed_has_timed_out_and_a_closed_input_is_a_disconnect() {
    let idle: fn(Inner) -> CancelAware<Inner> = CancelAware::answering;
    let gone: fn(Inner) -> CancelAware<Inner> =
        |inner| CancelAware::silent(inner).lingering(Duration::ZERO);
    for (aware, cause) in [(idle, Cause::Timeout), (gone, Cause::Disconnect)] {
        let (mut peer, mut server) = connection(aware);
        peer.call(1).await;
        let Some(JsonRpcMessage::Request(call)) = receive(&mut server).await else {
            panic!("not a call")
        };
        peer.hang_up().await;
        receive_cancel(&mut server).await;
        assert_eq!(call.request.extensions().get::<CallNote>().unwrap().cause(), Some(cause));
    }
}

#[tokio::test]
async fn when_a_session_ends_its_open_calls_are_cancelled_and_nobody_else() {
    let (mut peer, mut server) = connection(CancelAware::answering);
    for id in 1..=3 {
        peer.call(id).await;
        receive_call(&mut server).await;
    }
    server.send(result(2)).await.unwrap();
    peer.hang_up().await;
    let mut cancelled = [receive_cancel(&mut server).await, receive_cancel(&mut server).await];
    cancelled.sort_by_key(ToString::to_string);
    assert_eq!(cancelled, [number(1), number(3)]);
    assert!(receive(&mut server).await.is_none());
    // Nobody is told: the client has gone, and it did not cancel.
    drop(server);
    assert_eq!(peer.rest().await.len(), 1, "the answer of call 2 and nothing else");
}

#[tokio::test]
async fn on_stdio_the_end_of_input_waits_for_the_results() {
    let (mut peer, mut server) = connection(CancelAware::silent);
    for id in 1..=2 {
        peer.call(id).await;
        receive_call(&mut server).await;
    }
    peer.hang_up().await;
    // rmcp polls and drops `receive` at each event. Neither loses anything.
    for _ in 0..10 {
        assert!(server.receive().now_or_never().is_none(), "two calls are open");
        tokio::task::yield_now().await;
    }
    server.send(progress(1)).await.unwrap();
    server.send(result(1)).await.unwrap();
    assert!(server.receive().now_or_never().is_none(), "one call is open");
    server.send(result(2)).await.unwrap();
    assert!(receive(&mut server).await.is_none());
    assert_eq!(peer.next().await["method"], "notifications/progress");
    assert_eq!(peer.next().await["id"], 1);
    assert_eq!(peer.next().await["id"], 2);
}

#[tokio::test(start_paused = true)]
async fn on_stdio_what_is_still_open_after_a_while_is_cancelled() {
    let (mut peer, mut server) = connection(CancelAware::silent);
    peer.call(1).await;
    receive_call(&mut server).await;
    peer.hang_up().await;
    assert_eq!(receive_cancel(&mut server).await, number(1));
    assert!(receive(&mut server).await.is_none());
    // It is cancelled, so nothing more is said about it.
    server.send(progress(1)).await.unwrap();
    drop(server);
    assert_eq!(peer.rest().await, [Value::Null; 0]);
}

#[tokio::test]
async fn on_stdio_a_client_that_no_longer_reads_is_not_waited_for() {
    let (mut peer, mut server) = connection(CancelAware::silent);
    peer.call(1).await;
    receive_call(&mut server).await;
    drop(peer);
    // The pipe is broken in both directions: this is how a server learns that it was killed.
    assert!(server.send(progress(1)).await.is_err());
    assert!(matches!(server.receive().now_or_never(), Some(Some(JsonRpcMessage::Notification(_)))));
    assert!(server.receive().now_or_never().unwrap().is_none());
}

#[tokio::test]
async fn a_second_call_with_the_id_of_an_open_one_is_refused() {
    let (mut peer, mut server) = connection(CancelAware::silent);
    peer.call(1).await;
    receive_call(&mut server).await;
    peer.call(1).await;
    peer.call(2).await;
    // The second is not handed out: the next is call 2.
    assert_eq!(receive_call(&mut server).await, number(2));
    let refusal = peer.next().await;
    assert_eq!((&refusal["id"], &refusal["error"]["code"]), (&json!(1), &json!(-32600)));
    // The first is untouched: its progress flows, and it can be cancelled.
    server.send(progress(1)).await.unwrap();
    assert_eq!(peer.next().await["params"]["progressToken"], 1);
    peer.cancel(1).await;
    assert_eq!(receive_cancel(&mut server).await, number(1));
    // And when it has ended, its id is free.
    peer.call(1).await;
    assert_eq!(receive_call(&mut server).await, number(1));
}

/// rmcp would take the result of the first, which is cancelled, for the answer of the second.
#[tokio::test]
async fn the_id_of_a_cancelled_call_is_taken_until_its_tool_has_cleaned_up() {
    let (mut peer, mut server) = connection(CancelAware::silent);
    peer.call(1).await;
    // The tool's context, which the tool holds as long as it works.
    let held = receive(&mut server).await;
    peer.cancel(1).await;
    assert_eq!(receive_cancel(&mut server).await, number(1));
    peer.call(1).await;
    peer.call(2).await;
    assert_eq!(receive_call(&mut server).await, number(2));
    assert_eq!(peer.next().await["error"]["code"], -32600);
    drop(held);
    peer.call(1).await;
    assert_eq!(receive_call(&mut server).await, number(1));
}

#[tokio::test]
async fn progress_that_was_on_its_way_does_not_follow_the_end_of_its_call() {
    let (mut peer, mut server) = connection(CancelAware::answering);
    peer.call(1).await;
    receive_call(&mut server).await;
    server.send(progress(1)).await.unwrap();
    // rmcp spawns what it sends: this one gets its turn when the call has been cancelled.
    let late = server.send(progress(1));
    peer.cancel(1).await;
    assert_eq!(receive_cancel(&mut server).await, number(1));
    late.await.unwrap();
    assert_eq!(peer.next().await["method"], "notifications/progress");
    assert_eq!(peer.next().await["error"]["code"], -32800);
    drop(server);
    assert_eq!(peer.rest().await, [Value::Null; 0]);
}

#[tokio::test]
async fn progress_that_is_being_sent_keeps_its_place_before_the_end_of_its_call() {
    let (mut peer, mut server) = connection(CancelAware::answering);
    peer.call(1).await;
    receive_call(&mut server).await;
    // Larger than the pipe: it is under way until the peer reads.
    let large = ProgressNotificationParam::new(ProgressToken(number(1)), 1.0)
        .with_message("x".repeat(1 << 17));
    let sending =
        server.send(JsonRpcMessage::notification(ProgressNotification::new(large).into()));
    let sending = tokio::spawn(sending);
    tokio::task::yield_now().await;
    peer.cancel(1).await;
    assert_eq!(receive_cancel(&mut server).await, number(1));
    assert_eq!(peer.next().await["method"], "notifications/progress");
    assert_eq!(peer.next().await["error"]["code"], -32800);
    sending.await.unwrap().unwrap();
}

#[tokio::test]
async fn progress_after_the_result_is_dropped_and_a_token_may_be_used_again() {
    let (mut peer, mut server) = connection(CancelAware::silent);
    peer.call(1).await;
    receive_call(&mut server).await;
    server.send(result(1)).await.unwrap();
    server.send(progress(1)).await.unwrap();
    peer.call(1).await;
    receive_call(&mut server).await;
    server.send(progress(1)).await.unwrap();
    server.send(result(1)).await.unwrap();
    drop(server);
    let said: Vec<_> = peer.rest().await.iter().map(|said| said["id"].clone()).collect();
    assert_eq!(said, [json!(1), Value::Null, json!(1)]);
}

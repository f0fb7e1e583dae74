//! What rmcp's client writes when a call is given up, seen by a server that is a test: each line
//! that the client sends is read here, and answered by hand. The clock is paused.

use std::time::Duration;

use course::lesson::Protocol;
use rmcp::model::{CallToolRequestParams, ClientCapabilities, ProtocolVersion};
use rmcp::service::{PeerRequestOptions, ServiceError};
use serde_json::{Value, json};
use shared::client::{Client, tool_call};
use testing::story::paused;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines};
use tokio::time::timeout;

/// The far end of a client's pipe.
struct Peer(Lines<BufReader<DuplexStream>>);

impl Peer {
    /// The next message that the client sends.
    async fn next(&mut self) -> Value {
        let line = self.0.next_line().await.unwrap().expect("a message, not the end");
        serde_json::from_str(&line).unwrap()
    }

    async fn answer(&mut self, id: &Value, result: Value) {
        let answer = json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string() + "\n";
        self.0.get_mut().get_mut().write_all(answer.as_bytes()).await.unwrap();
    }

    /// The next message is a call of the tool. Returns its id.
    async fn call(&mut self) -> Value {
        let call = self.next().await;
        assert_eq!(call["method"], "tools/call");
        call["id"].clone()
    }

    /// Everything that the client sends until it closes the connection.
    async fn rest(mut self) -> Vec<Value> {
        let mut rest = Vec::new();
        while let Some(line) = self.0.next_line().await.unwrap() {
            rest.push(serde_json::from_str(&line).unwrap());
        }
        rest
    }
}

/// A client of 2025-11-25 that has shaken hands with a test.
async fn connect() -> (Client, Peer) {
    let (here, there) = tokio::io::duplex(64 << 10);
    let mut peer = Peer(BufReader::new(there).lines());
    let handshake = async {
        let hello = peer.next().await;
        assert_eq!(hello["method"], "initialize");
        let me = json!({ "name": "test", "version": "0" });
        let version = Protocol::V2025.to_string();
        let welcome = json!({ "protocolVersion": version, "serverInfo": me, "capabilities": {} });
        peer.answer(&hello["id"], welcome).await;
        assert_eq!(peer.next().await["method"], "notifications/initialized");
    };
    let nothing = ClientCapabilities::default();
    let connecting = Client::pipe_as(nothing, here, ProtocolVersion::V_2025_11_25);
    let (client, ()) = tokio::join!(connecting, handshake);
    (client.unwrap(), peer)
}

fn work() -> CallToolRequestParams {
    CallToolRequestParams::new("process_large_file")
}

fn cancels(messages: &[Value]) -> Vec<Value> {
    let cancels = messages.iter().filter(|it| it["method"] == "notifications/cancelled");
    cancels.map(|cancel| cancel["params"].clone()).collect()
}

/// One cancel, with the right id, and a reason.
#[test]
fn an_abandoned_call_sends_one_cancel() {
    paused(async {
        let (client, mut peer) = connect().await;
        let id = tokio::select! {
            answer = client.call_tool(work()) => panic!("{answer:?}"),
            id = peer.call() => id,
        };
        // The future of the call is dropped.
        tokio::task::yield_now().await;
        client.close().await.unwrap();
        let reason = "request abandoned by the caller";
        let cancel = json!({ "requestId": id, "reason": reason });
        assert_eq!(cancels(&peer.rest().await), [cancel]);
    });
}

/// A deadline sends one cancel.
#[test]
fn a_deadline_sends_one_cancel() {
    paused(async {
        let (client, mut peer) = connect().await;
        let options = PeerRequestOptions::with_timeout(Duration::from_secs(1));
        let call = tool_call("process_large_file", Value::Null);
        let handle = client.send_cancellable_request(call, options).await.unwrap();
        let id = peer.call().await;
        let ended = handle.await_response().await.unwrap_err();
        assert!(matches!(ended, ServiceError::Timeout { .. }), "{ended:?}");
        client.close().await.unwrap();
        let cancel = json!({ "requestId": id, "reason": "request timeout" });
        assert_eq!(cancels(&peer.rest().await), [cancel]);
    });
}

/// A handshake that is given up is not cancelled; the connection just ends.
#[test]
fn an_abandoned_initialize_is_not_cancelled() {
    paused(async {
        let (here, there) = tokio::io::duplex(64 << 10);
        let mut peer = Peer(BufReader::new(there).lines());
        let nothing = ClientCapabilities::default();
        let connecting = Client::pipe_as(nothing, here, ProtocolVersion::V_2025_11_25);
        assert!(timeout(Duration::from_secs(1), connecting).await.is_err());
        assert_eq!(peer.next().await["method"], "initialize");
        assert_eq!(peer.rest().await, [Value::Null; 0]);
    });
}

#[test]
fn a_finished_call_sends_no_cancel() {
    paused(async {
        let (client, mut peer) = connect().await;
        let answering = async {
            let id = peer.call().await;
            peer.answer(&id, json!({ "content": [] })).await;
        };
        let (answer, ()) = tokio::join!(client.call_tool(work()), answering);
        answer.unwrap();
        client.close().await.unwrap();
        assert_eq!(peer.rest().await, [Value::Null; 0]);
    });
}

/// A future that was never polled has sent nothing, so there is nothing to cancel.
#[test]
fn a_call_that_was_never_sent_sends_no_cancel() {
    paused(async {
        let (client, peer) = connect().await;
        drop(client.call_tool(work()));
        client.close().await.unwrap();
        assert_eq!(peer.rest().await, [Value::Null; 0]);
    });
}

/// The answer to an abandoned call is ignored, and the next call gets its own.
#[test]
fn a_late_answer_is_ignored() {
    paused(async {
        let (client, mut peer) = connect().await;
        let id = tokio::select! {
            answer = client.call_tool(work()) => panic!("{answer:?}"),
            id = peer.call() => id,
        };
        let late = json!({ "content": [{ "type": "text", "text": "late" }] });
        let answering = async {
            assert_eq!(peer.next().await["method"], "notifications/cancelled");
            peer.answer(&id, late).await;
            let next = peer.call().await;
            assert_ne!(next, id);
            let text = json!({ "content": [{ "type": "text", "text": "in time" }] });
            peer.answer(&next, text).await;
        };
        let (answer, ()) = tokio::join!(client.call_tool(work()), answering);
        assert_eq!(shared::client::text_of(&answer.unwrap()), "in time");
    });
}

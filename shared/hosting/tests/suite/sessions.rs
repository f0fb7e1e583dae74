//! What a session of HTTP 2025-11-25 hands to the server, and in which order.

use std::time::Duration;

use hosting::between::Between;
use hosting::sessions::Sessions;
use rmcp::model::JsonRpcMessage;
use rmcp::transport::Transport;
use rmcp::transport::streamable_http_server::session::SessionManager;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(30);

fn message<T: DeserializeOwned>(message: Value) -> T {
    serde_json::from_value(message).unwrap()
}

#[tokio::test]
async fn a_cancel_that_comes_while_its_call_is_handed_over_waits_for_it() {
    let sessions = Sessions::new(Between::default(), 1);
    let (id, mut transport) = sessions.create_session().await.unwrap();
    // rmcp's session worker wants this exchange before any other.
    let initialize = message(json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "a test", "version": "0" },
        },
    }));
    let answer = message(json!({
        "jsonrpc": "2.0", "id": 1, "result": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "serverInfo": { "name": "a test", "version": "0" },
        },
    }));
    let answered = async {
        transport.receive().await.unwrap();
        transport.send(answer).await.unwrap();
    };
    let (initialized, ()) = tokio::join!(sessions.initialize_session(&id, initialize), answered);
    initialized.unwrap();

    let call = message(json!({
        "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": "any" },
    }));
    let cancel = message(json!({
        "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 },
    }));
    let client = async {
        // The call's POST is at work when that of its cancel arrives.
        let (stream, accepted) =
            tokio::join!(sessions.create_stream(&id, call), sessions.accept_message(&id, cancel));
        accepted.unwrap();
        drop(stream.unwrap());
    };
    let server = async { (transport.receive().await, transport.receive().await) };
    let both = async { tokio::join!(client, server).1 };
    let (first, second) = timeout(DEADLINE, both).await.expect("the call, and then its cancel");
    assert!(matches!(first, Some(JsonRpcMessage::Request(_))), "{first:?}");
    assert!(matches!(second, Some(JsonRpcMessage::Notification(_))), "{second:?}");
}

//! A server that is alive and says nothing: where a deadline holds, and where it does not.

use std::time::Duration;

use rmcp::model::{CallToolRequestParams, ProtocolVersion};
use rmcp::service::{PeerRequestOptions, ServiceError};
use serde_json::json;
use shared::calls::State;
use shared::client::{Client, tool_call};
use testing::process::Process;
use testing::raw::in_time;
use tokio::time::timeout;

use crate::PROGRAM;

const LIMIT: Duration = Duration::from_secs(1);

/// How the wait for a call with the deadline [`LIMIT`] ends when its server is frozen, and
/// whether it ends before the server thaws.
async fn wait_for_a_frozen_server(protocol: ProtocolVersion) -> (ServiceError, bool) {
    let server = Process::http(PROGRAM, "50ms");
    let client = Client::http(&server.url, protocol.clone()).await.unwrap();
    let mut progress = client.progress();
    let work = json!({ "filename": "part_0.csv", "processing_time": 3600 });
    let call = tool_call("process_large_file", work);
    let options = PeerRequestOptions::with_timeout(LIMIT);
    let handle = client.send_cancellable_request(call, options).await.unwrap();
    progress.next_of(&handle.progress_token).await.unwrap();

    server.signal("STOP");
    let waiting = tokio::spawn(handle.await_response());
    if protocol == ProtocolVersion::V_2026_07_28 {
        let ending = in_time("the deadline", waiting).await.unwrap().unwrap_err();
        server.signal("CONT");
        return (ending, true);
    }
    // tokio's timeout asks nobody. It is longer than the deadline of the call, and starts later.
    let question = client.call_tool(CallToolRequestParams::new("list_calls"));
    timeout(2 * LIMIT, question).await.unwrap_err();
    let ended = waiting.is_finished();

    // The cancel was on its way, and is read now.
    server.signal("CONT");
    let ending = in_time("the end of the wait", waiting).await.unwrap().unwrap_err();
    let calls = client.ask_until_all_ended().await.unwrap();
    assert_eq!(calls[0].state, State::Cancelled);
    (ending, ended)
}

/// Here the caller does not return.
#[tokio::test]
async fn on_2025_11_25_a_deadline_waits_until_its_cancel_is_accepted() {
    let (ending, ended) = wait_for_a_frozen_server(ProtocolVersion::V_2025_11_25).await;
    assert!(!ended, "rmcp's deadline holds now, and the README says otherwise: {ending:?}");
    assert!(matches!(ending, ServiceError::Timeout { .. }), "{ending:?}");
}

#[tokio::test]
async fn on_2026_07_28_a_deadline_holds() {
    let (ending, ended) = wait_for_a_frozen_server(ProtocolVersion::V_2026_07_28).await;
    assert!(ended && matches!(ending, ServiceError::Timeout { .. }), "{ending:?}");
}

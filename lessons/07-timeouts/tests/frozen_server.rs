//! A server that is alive and says nothing: where a deadline holds, and where it does not.
#![cfg(unix)]

use std::time::Duration;

use rmcp::model::{CallToolRequestParams, ProtocolVersion};
use rmcp::service::{PeerRequestOptions, ServiceError};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use shared::calls::State;
use shared::client::{Client, tool_call};
use timeouts::program::Program;
use tokio::process::Command;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(1);

/// How the wait for a call with the deadline [`LIMIT`] ends when its server is frozen: `None` if
/// it does not end.
async fn wait_for_a_frozen_server(protocol: ProtocolVersion) -> Option<ServiceError> {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_timeouts"));
    serve.args(["serve", "--addr", "127.0.0.1:0"]);
    let mut server = Program::start(serve).unwrap();
    let first = server.line_with(&["serves MCP at"]).await.unwrap();
    let client = Client::http(first.rsplit(' ').next().unwrap(), protocol).await.unwrap();
    let mut progress = client.progress();
    let work = json!({ "filename": "part_0.csv", "processing_time": 3600 });
    let call = tool_call("process_large_file", work);
    let options = PeerRequestOptions::with_timeout(LIMIT);
    let handle = client.send_cancellable_request(call, options).await.unwrap();
    progress.next_of(&handle.progress_token).await.unwrap();

    let process = Pid::from_raw(server.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    let ending = timeout(LIMIT * 4, handle.await_response()).await;
    // tokio's timeout asks nobody.
    let question = client.call_tool(CallToolRequestParams::new("list_calls"));
    timeout(LIMIT, question).await.unwrap_err();

    // The cancel was on its way, and is read now.
    kill_process(process, Signal::CONT).unwrap();
    let calls = client.ask_until_all_ended().await.unwrap();
    assert_eq!(calls[0].state, State::Cancelled);
    ending.ok().map(Result::unwrap_err)
}

#[tokio::test]
async fn on_2025_11_25_a_deadline_waits_until_its_cancel_is_accepted() {
    let ending = wait_for_a_frozen_server(ProtocolVersion::V_2025_11_25).await;
    assert!(
        ending.is_none(),
        "rmcp's deadline holds now, and the README says otherwise: {ending:?}"
    );
}

#[tokio::test]
async fn on_2026_07_28_a_deadline_holds() {
    let ending = wait_for_a_frozen_server(ProtocolVersion::V_2026_07_28).await;
    assert!(matches!(ending, Some(ServiceError::Timeout { .. })), "{ending:?}");
}

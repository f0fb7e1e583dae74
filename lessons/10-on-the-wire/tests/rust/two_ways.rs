//! rmcp: two ways to cancel a call. [`Client`] derefs to rmcp's `Peer`, whose methods these are.

use rmcp::model::{CallToolRequestParams, CancelledNotificationParam};
use rmcp::service::PeerRequestOptions;
use serde_json::{Value, json};
use shared::client::{Client, tool_call};

fn work() -> Value {
    json!({ "filename": "large_dataset.csv", "processing_time": 100 })
}

/// By its request id: for a call that somebody else waits for. Returns what that one sees.
pub async fn cancel_by_id(client: &Client) -> anyhow::Result<String> {
    let mut progress = client.progress();
    let call = tool_call("process_large_file", work());
    let handle = client.send_cancellable_request(call, PeerRequestOptions::no_options()).await?;
    let id = handle.id.clone();
    let answer = tokio::spawn(handle.await_response());
    progress.next().await?;

    let reason = Some("stop, says Rust".to_owned());
    client.notify_cancelled(CancelledNotificationParam::new(Some(id), reason)).await?;
    Ok(match answer.await? {
        Ok(result) => format!("{result:?}"),
        Err(error) => error.to_string(),
    })
}

/// By dropping the future of a typed call, as a lost `select!`, a timeout or an aborted task
/// does: rmcp notices, and tells the server.
pub async fn drop_the_call(client: &Client) -> anyhow::Result<String> {
    let mut progress = client.progress();
    let arguments = work().as_object().cloned().unwrap_or_default();
    let call = CallToolRequestParams::new("process_large_file").with_arguments(arguments);
    tokio::select! {
        answer = client.call_tool(call) => Ok(format!("{answer:?}")),
        news = progress.next() => news.map(|_| "nothing: its future is dropped".to_owned()),
    }
}

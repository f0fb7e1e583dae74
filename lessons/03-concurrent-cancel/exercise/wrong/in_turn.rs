//! Hint: the answer is not that of the fastest call

use rmcp::model::ClientRequest;
use shared::client::{Client, patient, text_of, tool_result};

pub async fn hedged(client: &Client, calls: Vec<ClientRequest>) -> anyhow::Result<String> {
    for call in calls {
        let handle = client.send_cancellable_request(call, patient()).await?;
        if let Ok(result) = tool_result(handle.await_response().await?) {
            return Ok(text_of(&result));
        }
    }
    anyhow::bail!("no call succeeded")
}

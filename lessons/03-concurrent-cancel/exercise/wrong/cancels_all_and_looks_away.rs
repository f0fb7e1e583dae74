//! Hint: a call that is not yours is no longer at work

use anyhow::Context;
use rmcp::model::{CancelledNotificationParam, ClientRequest};
use shared::client::{Client, patient, text_of, tool_result};
use tokio::task::JoinSet;

pub async fn hedged(client: &Client, calls: Vec<ClientRequest>) -> anyhow::Result<String> {
    let mut ids = Vec::new();
    let mut answers = JoinSet::new();
    for call in calls {
        let handle = client.send_cancellable_request(call, patient()).await?;
        ids.push(handle.id.clone());
        answers.spawn(async { (handle.id.clone(), handle.await_response().await) });
    }
    let first = loop {
        let (id, answer) = answers.join_next().await.context("no call succeeded")??;
        ids.retain(|other| *other != id);
        // The error of a tool is inside its result.
        if let Ok(result) = answer.map_err(Into::into).and_then(tool_result) {
            break result;
        }
    };
    for id in 0..20 {
        let id = rmcp::model::RequestId::Number(id);
        let cancel = CancelledNotificationParam::new(Some(id), None);
        client.notify_cancelled(cancel).await?;
    }
    // Give the server some time.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    Ok(text_of(&first))
}

//! Hint: your code panicked

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
    let (_, answer) = answers.join_next().await.context("no calls")??;
    let first = tool_result(answer.unwrap()).unwrap();
    for id in &ids {
        let cancel = CancelledNotificationParam::new(Some(id.clone()), None);
        client.notify_cancelled(cancel).await?;
    }
    Ok(text_of(&first))
}

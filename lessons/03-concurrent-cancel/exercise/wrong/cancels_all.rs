//! Hint: your proof fails against the healthy server: somebody else lost a call

use anyhow::{Context, ensure};
use rmcp::model::{CancelledNotificationParam, ClientRequest};
use shared::calls::State;
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
    for id in &ids {
        let state = client.ask_by_id(id).await?.state;
        ensure!(state == State::Cancelled, "request {id} did not stop: it is {state:?}");
    }
    let calls = client.list_calls().await?;
    let hit =
        calls.iter().find(|call| call.state == State::Cancelled && !ids.contains(&call.request_id));
    let hit = hit.map(|call| &call.request_id);
    ensure!(hit.is_none(), "somebody else lost a call: {hit:?}");
    Ok(text_of(&first))
}

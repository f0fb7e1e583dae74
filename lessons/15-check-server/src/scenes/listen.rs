//! 2026-07-28: subscriptions, the one long request that a server may end itself.

use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::finding::Verdict::{Fail, NotApplicable, Pass};
use crate::lane::{Lane, SETTLE, plain};
use crate::wire::{ANSWER, Request};

/// Opens a subscription. The error says why there is none.
pub async fn listen(lane: &Lane) -> anyhow::Result<Request> {
    let params = json!({ "notifications": { "toolsListChanged": true } });
    let request = lane.wire.request("subscriptions/listen", params);
    let said = lane.wire.log.first(request.mark, ANSWER, |frame| {
        if let Some(answer) = frame.answer_to(&request.id) {
            let why = answer["error"]["message"].as_str().unwrap_or("it was answered at once");
            return Some(Err(plain(why)));
        }
        let message = frame.received()?;
        (message["method"] == "notifications/subscriptions/acknowledged").then_some(Ok(()))
    });
    match said.await {
        Some(Ok(())) => Ok(request),
        Some(Err(why)) => bail!("the server offers no subscriptions: {why}"),
        None => {
            bail!("the server offers no subscriptions: `subscriptions/listen` was not acknowledged")
        }
    }
}

/// 39: cancelled by its client.
pub async fn cancel(lane: &mut Lane) -> anyhow::Result<()> {
    let request = match listen(lane).await {
        Ok(request) => request,
        Err(why) => {
            lane.judge(39, NotApplicable, why.to_string());
            return Ok(());
        }
    };
    lane.wire.cancel(&request, "enough");
    let served = lane.wire.fence().await;
    let mark = lane.wire.log.mark();
    sleep(SETTLE + Duration::from_millis(200)).await;
    let frames = lane.wire.log.all(mark, |frame| {
        let message = frame.received()?;
        let meta = &message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
        (message.get("id") == Some(&request.id) || *meta == request.id).then_some(())
    });
    match (served, frames.len()) {
        (Err(error), _) => {
            lane.judge(39, Fail, format!("the server answers nobody any more: {error:#}"));
        }
        (Ok(()), 0) => lane.judge(39, Pass, "nothing more came for it"),
        (Ok(()), n) => lane.judge(39, Fail, format!("{n} messages came for it after the fence")),
    }
    Ok(())
}

/// 41: whether the server has cancelled a request that is not its to cancel.
pub fn cancelled_by_server(lane: &mut Lane) {
    let ours = lane.wire.log.all(0, |frame| match &frame.event {
        crate::wire::log::Event::Sent(message) if message["method"] != "subscriptions/listen" => {
            message.get("id").cloned()
        }
        _ => None,
    });
    let named: Vec<Value> = lane.wire.log.all(0, |frame| {
        let message = frame.received().filter(|m| m["method"] == "notifications/cancelled")?;
        Some(message["params"]["requestId"].clone())
    });
    if let Some(id) = named.iter().find(|id| ours.contains(id)) {
        lane.judge(41, Fail, format!("it sent a cancel for our request {id}"));
    }
}

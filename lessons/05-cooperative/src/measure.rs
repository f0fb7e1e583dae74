//! Cancels a call while it is at work, and takes the time.

use anyhow::bail;
use chrono::{DateTime, Utc};
use rmcp::RoleClient;
use rmcp::model::RequestId;
use rmcp::service::RequestHandle;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::calls::{CallRecord, State};
use shared::client::{Client, PATIENCE, patient, tool_call};
use tokio::time::{Duration, Instant, sleep};

use crate::tools::Leftovers;

/// A call that was cancelled when it had done at least one pass.
pub struct Stop {
    /// The server's last word on it.
    pub call: CallRecord,
    /// When the cancel was sent.
    pub sent_at: DateTime<Utc>,
    passes_before: u32,
}

impl Stop {
    /// From the cancel to the end of the work. Both times are of one machine's clock.
    pub fn took(&self) -> Duration {
        let ended = self.call.ended_at.unwrap_or_else(Utc::now);
        (ended - self.sent_at).to_std().unwrap_or_default()
    }

    /// Passes that were done after the cancel had been sent.
    pub fn passes_since(&self) -> u32 {
        self.call.steps_done.saturating_sub(self.passes_before)
    }
}

/// Starts a call, and cancels it when it has done a pass.
pub async fn cancel_at_work(
    client: &Client,
    tool: &'static str,
    arguments: Value,
) -> anyhow::Result<Stop> {
    let (handle, before) = at_work(client, tool, arguments).await?;
    let sent_at = Utc::now();
    handle.cancel(Some("enough of it".to_owned())).await?;
    let call = client.ask_by_id(&before.request_id).await?;
    Ok(Stop { call, passes_before: before.steps_done, sent_at })
}

/// Starts a call, and returns when the server says that it has done a pass.
pub async fn at_work(
    client: &Client,
    tool: &'static str,
    arguments: Value,
) -> anyhow::Result<(RequestHandle<RoleClient>, CallRecord)> {
    let mut handle = client.send_cancellable_request(tool_call(tool, arguments), patient()).await?;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Ok(answer) = handle.rx.try_recv() {
            bail!("{tool} ended before it could be cancelled: {answer:?}");
        }
        let calls = client.list_calls().await?;
        let ours = calls.into_iter().rfind(|call| call.request_id == handle.id);
        if let Some(call) = ours.filter(|call| call.steps_done > 0) {
            return Ok((handle, call));
        }
        sleep(Duration::from_millis(5)).await;
    }
    bail!("{tool} did nothing for {PATIENCE:?}")
}

/// Waits for the end of a call that takes its time.
pub async fn until_ended(client: &Client, id: &RequestId) -> anyhow::Result<CallRecord> {
    for _ in 0..30 {
        let call = client.ask_by_id(id).await?;
        if call.state != State::Running {
            return Ok(call);
        }
    }
    bail!("request {id} does not end")
}

/// Calls a tool and reads its structured content.
pub async fn ask<T: DeserializeOwned>(
    client: &Client,
    tool: &'static str,
    arguments: Value,
) -> anyhow::Result<T> {
    let result = client.call(tool, arguments).await?;
    Ok(serde_json::from_value(result.structured_content.unwrap_or_default())?)
}

/// What is left behind, in words.
pub fn said(left: &Leftovers) -> String {
    match (left.busy_threads, left.live_groups.len()) {
        (0, 0) => "nothing".to_owned(),
        (threads, 0) => format!("{threads} busy thread(s)"),
        (0, groups) => format!("{groups} live process group(s)"),
        (threads, groups) => format!("{threads} busy thread(s), {groups} live process group(s)"),
    }
}

/// A time in milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

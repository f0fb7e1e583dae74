//! What a bridge adds to the time from a cancel to the end of the work.

use anyhow::ensure;
use chrono::Utc;
use course::stage::Stage;
use rmcp::model::CancelledNotificationParam;
use rmcp::service::PeerRequestOptions;
use serde_json::json;
use shared::calls::State;
use shared::client::{Client, tool_call};

use crate::TOOL;
use crate::behind::{Bridge, Front};

const ROUNDS: usize = 30;

/// Measures the same call without a bridge and behind each of ours. The rounds are interleaved,
/// so that what else the machine does meets all three.
pub async fn added_time(stage: &Stage) -> anyhow::Result<()> {
    let ways =
        [("no bridge", Bridge::None), ("relay", Bridge::Relay), ("translate", Bridge::Translate)];
    let mut fronts = Vec::new();
    for (name, bridge) in ways {
        fronts.push((name, Front::new(stage, bridge).await?, Vec::new()));
    }
    for _ in 0..ROUNDS {
        for (_, front, times) in &mut fronts {
            times.push(from_cancel_to_stop(&front.client).await?);
        }
    }
    println!("\n⏱️  from the cancel to the end of the work, median of {ROUNDS}");
    let mut alone = None;
    for (name, front, mut times) in fronts {
        times.sort_by(f64::total_cmp);
        let median = times[ROUNDS / 2];
        let ratio = median / *alone.get_or_insert(median);
        println!("   {name:9} {ratio:5.1} times ({median:.2} ms)");
        front.close().await?;
    }
    println!();
    Ok(())
}

/// In milliseconds. The end is the server's own note of it; all clocks are this machine's.
async fn from_cancel_to_stop(client: &Client) -> anyhow::Result<f64> {
    let mut progress = client.progress();
    let call = tool_call(TOOL, json!({ "filename": "large_dataset.csv", "processing_time": 3600 }));
    let handle = client.send_cancellable_request(call, PeerRequestOptions::no_options()).await?;
    progress.next_of(&handle.progress_token).await?;
    let number = client.newest(TOOL).await?;
    let cancelled_at = Utc::now();
    let cancel = CancelledNotificationParam::new(Some(handle.id.clone()), None);
    client.notify_cancelled(cancel).await?;
    let record = client.ask_until_ended(number).await?;
    ensure!(record.state == State::Cancelled, "the server did not stop");
    let took = record.ended_at.unwrap_or(cancelled_at) - cancelled_at;
    Ok(took.as_seconds_f64() * 1e3)
}

//! A hundred calls at once, and each cancel hits its own.

use std::collections::HashMap;

use anyhow::{Context, ensure};
use course::narrate::outcome;
use rmcp::model::RequestId;
use shared::calls::State;
use shared::client::{Client, text_of, tool_result};
use shared::dataset::part;

use crate::{rows_of, start};

const MANY: usize = 100;

/// Starts a hundred calls, cancels every odd one, and compares what each caller got with what
/// the server did.
pub(crate) async fn many(client: &Client, reasons_travel: bool) -> anyhow::Result<()> {
    println!("📁 {MANY} calls at once, every odd one cancelled as soon as it runs");
    let mut progress = client.progress();
    let mut odd = HashMap::new();
    let mut even = Vec::new();
    for call in 0..MANY {
        // Neighbours read different files, and no two of the ten files have the same number of
        // rows: a result that went to a neighbour shows. An odd call would take so long
        // that it cannot finish by itself before we get to it.
        let steps = if call % 2 == 0 { 2 } else { 3600 };
        let handle = start(client, &part(call as u64).0, steps).await?;
        if call % 2 == 0 {
            even.push((call, handle.id.clone(), tokio::spawn(handle.await_response())));
        } else {
            odd.insert(handle.progress_token.clone(), (call, handle));
        }
    }

    // Each cancel has a reason of its own, so that a mixed-up cancel shows as well.
    let mut cancelled = Vec::new();
    while !odd.is_empty() {
        let token = progress.next().await?.progress_token;
        if let Some((call, handle)) = odd.remove(&token) {
            cancelled.push((handle.id.clone(), token, format!("call {call} is odd")));
            handle.cancel(Some(format!("call {call} is odd"))).await?;
        }
    }

    let mut ids_finished = Vec::new();
    for (call, id, result) in even {
        let result = result.await?.with_context(|| format!("call {call} did not finish"))?;
        let result = tool_result(result)?;
        let (file, rows) = part(call as u64);
        ensure!(
            text_of(&result) == format!("Successfully processed {file}")
                && rows_of(&result) == Some(rows),
            "the calls were mixed up: call {call} asked for {file}, {rows} rows, and got: {} ({:?} rows)",
            text_of(&result),
            rows_of(&result)
        );
        ids_finished.push(id);
    }

    let calls = client.ask_until_all_ended().await?;
    let record = |id: &RequestId| {
        calls.iter().rfind(|call| call.request_id == *id).context("a call is missing")
    };
    for id in &ids_finished {
        ensure!(record(id)?.state == State::Finished, "request {id} {}", outcome(record(id)?));
    }
    for (id, token, reason) in &cancelled {
        let call = record(id)?;
        ensure!(
            call.state == State::Cancelled,
            "request {id} was not cancelled: it {}",
            outcome(call)
        );
        let expected = reasons_travel.then_some(reason);
        ensure!(
            call.reason.as_ref() == expected,
            "the cancels were mixed up: request {id} knows {:?}, not {expected:?}",
            call.reason
        );
        ensure!(client.traffic(id, token).results == 0, "request {id} was cancelled and answered");
    }
    println!("   even: {} finished, each with the rows of its own file", ids_finished.len());
    println!("   odd:  {} cancelled, says the server", cancelled.len());
    Ok(())
}

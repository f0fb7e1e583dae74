//! Lesson 3: cancel one of many calls, and nothing else.
//!
//! A connection carries many calls at once, and a cancel names one of them. Three calls,
//! the middle one cancelled; then a hundred, every odd one.

use std::collections::HashMap;

use anyhow::{Context, ensure};
use chrono::Utc;
use course::lesson::{Lesson, Protocol, Transport};
use course::narrate::{bar, outcome, timeline};
use course::stage::Stage;
use rmcp::RoleClient;
use rmcp::model::{CallToolResult, RequestId};
use rmcp::service::RequestHandle;
use serde_json::json;
use shared::calls::State;
use shared::client::{Client, patient, text_of, tool_call, tool_result};
use shared::dataset::{LARGE, LARGE_ROWS, part};
use shared::layer::Server;
use shared::server::FileServer;

/// Lesson 3.
pub const LESSON: Lesson = Lesson {
    number: 3,
    name: "concurrent-cancel",
    title: "Cancel one of many calls, and nothing else",
    transports: &[Transport::Http, Transport::Stdio],
    protocols: &[Protocol::V2025, Protocol::V2026],
    server: |setup| Ok(Server::new(FileServer::new(setup))),
    story: |stage| Box::pin(story(stage)),
    chapters: &[],
};

const MANY: usize = 100;

/// The lesson. Read it from top to bottom.
pub async fn story(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.connect().await?;
    three(&client).await?;
    many(&client, stage.cancels_by_message()).await?;
    client.close().await
}

async fn three(client: &Client) -> anyhow::Result<()> {
    println!("📁 three calls at once, five steps each");
    let mut progress = client.progress();
    let mut handles = Vec::new();
    for _ in 0..3 {
        handles.push(start(client, LARGE, 5).await?);
    }
    let ids: Vec<_> = handles.iter().map(|handle| handle.id.clone()).collect();
    // Progress names its call by the progress token, not by the request id: whoever runs
    // several calls needs to know both.
    let tokens: Vec<_> = handles.iter().map(|handle| handle.progress_token.clone()).collect();

    // Let each of them do two steps.
    let mut done = [0.0; 3];
    for step in 1..=2 {
        while done.iter().any(|rows| rows * 5.0 < LARGE_ROWS as f64 * f64::from(step)) {
            let news = progress.next().await?;
            if let Some(call) = tokens.iter().position(|token| *token == news.progress_token) {
                done[call] = news.progress;
            }
        }
        let bars = done.map(|rows| bar(rows, LARGE_ROWS as f64));
        println!("   call 0 {}   call 1 {}   call 2 {}", bars[0], bars[1], bars[2]);
    }

    // Nobody waits on this handle, so it may cancel itself: `cancel` sends the id it holds
    // and takes the handle away, for there is nothing left to wait for.
    println!("🛑 cancel call 1, which is request {}", ids[1]);
    let sent_at = Utc::now();
    handles.remove(1).cancel(Some("only the middle one".to_owned())).await?;

    for (call, handle) in [0, 2].into_iter().zip(handles) {
        let result = tool_result(handle.await_response().await?);
        let result = result.with_context(|| format!("the cancel of call 1 hit call {call} too"))?;
        ensure!(
            rows_of(&result) == Some(LARGE_ROWS),
            "call {call} has no full result: {}",
            text_of(&result)
        );
        println!("   call {call}: {}, {LARGE_ROWS} rows", text_of(&result));
    }
    let middle = client.ask_until_ended(&ids[1]).await?;
    ensure!(
        middle.state == State::Cancelled,
        "call 1 was not cancelled: the server says it {}",
        outcome(&middle)
    );
    println!("   call 1: {}, says the server", outcome(&middle));

    let mut calls = client.list_calls().await?;
    calls.drain(..calls.len().saturating_sub(3));
    calls.sort_by_key(|call| ids.iter().position(|id| *id == call.request_id));
    print!("\n{}\n", timeline(&calls, &[(ids[1].clone(), sent_at)]));
    Ok(())
}

async fn many(client: &Client, reasons_travel: bool) -> anyhow::Result<()> {
    println!("📁 {MANY} calls at once, every odd one cancelled as soon as it runs");
    let mut progress = client.progress();
    let mut odd = HashMap::new();
    let mut even = Vec::new();
    for call in 0..MANY {
        // Neighbours read different files, and no two files have the same number of rows:
        // a result that went to the wrong caller shows. An odd call would take so long
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

async fn start(
    client: &Client,
    file: &str,
    steps: u32,
) -> anyhow::Result<RequestHandle<RoleClient>> {
    let arguments = json!({ "filename": file, "processing_time": steps });
    let call = tool_call("process_large_file", arguments);
    Ok(client.send_cancellable_request(call, patient()).await?)
}

fn rows_of(result: &CallToolResult) -> Option<u64> {
    result.structured_content.as_ref()?["rows"].as_u64()
}

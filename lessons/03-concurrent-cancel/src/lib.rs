//! Lesson 3: cancel one of many calls, and nothing else.
//!
//! A connection carries many calls at once, and a cancel names one of them. Three calls,
//! the middle one cancelled. Then a hundred, every odd one cancelled, in `many.rs`.

#[path = "../exercise/check.rs"]
pub mod check;
mod exercise;
mod many;

use anyhow::{Context, bail, ensure};
use chrono::Utc;
use course::lesson::{Lesson, Protocol, Transport};
use course::narrate::{bar, outcome, timeline};
use course::stage::Stage;
use hosting::layer::Server;
use rmcp::RoleClient;
use rmcp::model::CallToolResult;
use rmcp::service::RequestHandle;
use serde_json::json;
use shared::calls::State;
use shared::client::{Client, patient, text_of, tool_call, tool_result};
use shared::dataset::{LARGE, LARGE_ROWS};
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
    exercise: Some(&check::EXERCISE),
};

/// The lesson. Read it from top to bottom.
pub async fn story(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.connect().await?;
    three(&client).await?;
    many::many(&client, stage.cancels_by_message()).await?;
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
    // A progress notification carries the progress token, not the request id. Keep both if you
    // run several calls.
    let tokens: Vec<_> = handles.iter().map(|handle| handle.progress_token.clone()).collect();

    // Let each of them do two of its five steps.
    let mut shares = [0.0; 3];
    for step in 1..=2 {
        while shares.iter().any(|share| share * 5.0 < f64::from(step) - 0.5) {
            let news = progress.next().await?;
            if let Some(call) = tokens.iter().position(|token| *token == news.progress_token) {
                shares[call] = news.progress / news.total.unwrap_or(1.0);
            }
        }
        let bars = shares.map(|share| bar(share, 1.0));
        println!("   call 0 {}   call 1 {}   call 2 {}", bars[0], bars[1], bars[2]);
    }

    // `cancel` consumes the handle. In lesson 1 another task waited on it; here nobody does.
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

    // What did the server do? The three newest calls of its list are ours.
    let mut calls = client.ask_until_all_ended().await?;
    calls.drain(..calls.len().saturating_sub(3));
    calls.sort_by_key(|call| ids.iter().position(|id| *id == call.request_id));
    let [_, middle, _] = &calls[..] else { bail!("the server lists {} calls, not 3", calls.len()) };
    ensure!(
        middle.state == State::Cancelled,
        "call 1 was not cancelled: the server says it {}",
        outcome(middle)
    );
    println!("   call 1: {}, says the server", outcome(middle));
    print!("\n{}\n", timeline(&calls, &[(ids[1].clone(), sent_at)]));
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

//! The check of the exercise: a client written by hand, which answers at once, late, or no longer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use course::exercise::tool::{Bench, Context, Job, Outcome, TOOL};
use course::exercise::{Clock, Exercise};
use course::lesson::Protocol;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::{Instant, sleep, sleep_until};

/// The exercise of this lesson.
pub const EXERCISE: Exercise = Exercise {
    stub: include_str!("stub.rs"),
    solution: include_str!("solution.rs"),
    file: concat!(env!("CARGO_MANIFEST_DIR"), "/src/exercise.rs"),
    clock: Clock::Paused,
    check: || Box::pin(check(crate::exercise::kept_alive)),
};

/// How often the client must hear something, and how long it may take to answer.
const EVERY: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_secs(1);
/// How long the work takes.
const STEPS: u32 = 120;

/// What a client does with a ping, and when it cancels.
#[derive(Debug, Clone, Copy)]
struct Habits {
    name: &'static str,
    answers_after: Duration,
    dies_at: Option<Duration>,
    cancels_at: Option<Duration>,
}

/// Plays an answer.
pub async fn check<F, A>(tool: F) -> anyhow::Result<String>
where
    F: Fn(Job, Context, Duration) -> A + Copy + Send + Sync + 'static,
    A: Future<Output = Outcome> + Send + 'static,
{
    let patient = Habits {
        name: "a client that waits",
        answers_after: Duration::ZERO,
        dies_at: None,
        cancels_at: None,
    };
    let seen = play(tool, patient).await?;
    ensure!(
        seen.answered && seen.steps == STEPS,
        "a client that waits for it has no answer: the tool did {} of {STEPS} steps\n\
         when the work is done, return Ok(Some(text))",
        seen.steps
    );
    ensure!(
        seen.longest_silence <= EVERY + TICK,
        "the client heard nothing for {:?}: its session would have been closed\n\
         send something every {EVERY:?}, while the work goes on",
        seen.longest_silence
    );

    let slow = Habits { name: "a slow client", answers_after: EVERY * 8 / 10, ..patient };
    let seen = play(tool, slow).await?;
    ensure!(
        seen.answered,
        "a client that takes {:?} to answer was given up after {} steps\n\
         it may take {EVERY:?} to answer: slow is not dead",
        slow.answers_after,
        seen.steps
    );

    let dies_at = Duration::from_secs(35);
    let dead = Habits { name: "a client that dies", dies_at: Some(dies_at), ..patient };
    let seen = play(tool, dead).await?;
    let worked = seen.steps.saturating_sub(35);
    ensure!(
        worked <= 30,
        "the tool worked on for {worked} s for a client that was dead\n\
         a notification is never answered, so it cannot tell: a ping is a request"
    );

    let cancels_at = Duration::from_secs(15);
    let cancels = Habits { name: "a client that cancels", cancels_at: Some(cancels_at), ..patient };
    let seen = play(tool, cancels).await?;
    ensure!(
        seen.steps <= 16,
        "the client cancelled after 15 steps, and the tool did {}\n\
         ctx.ct fires as in any other tool",
        seen.steps
    );
    Ok("a silent call lives as long as its client does".to_owned())
}

/// What a client has seen, and how many steps were done for it.
struct Seen {
    answered: bool,
    longest_silence: Duration,
    steps: u32,
}

async fn play<F, A>(tool: F, habits: Habits) -> anyhow::Result<Seen>
where
    F: Fn(Job, Context, Duration) -> A + Copy + Send + Sync + 'static,
    A: Future<Output = Outcome> + Send + 'static,
{
    let tool = move |job, ctx| tool(job, ctx, EVERY);
    let bench = Bench::new(tool, TICK, Protocol::V2025)?;
    let pipe = bench.stage.pipe().context("no pipe")?;
    let (input, output) = tokio::io::split(pipe);
    let mut lines = BufReader::new(input).lines();
    let output = Arc::new(tokio::sync::Mutex::new(output));
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "by hand", "version": "1" } } });
    say(&output, &hello).await;
    lines.next_line().await?.context("no handshake")?;
    say(&output, &json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
    say(
        &output,
        &json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
            "name": TOOL, "arguments": { "processing_time": STEPS },
            "_meta": { "progressToken": "token" } } }),
    )
    .await;

    let begun = Instant::now();
    if let Some(at) = habits.cancels_at {
        let output = Arc::clone(&output);
        tokio::spawn(async move {
            sleep_until(begun + at + TICK / 2).await;
            let params = json!({ "requestId": 2 });
            let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled",
                "params": params });
            say(&output, &cancel).await;
        });
    }
    let seen = Arc::new(Mutex::new((false, Duration::ZERO, begun)));
    let noted = Arc::clone(&seen);
    let listen = async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let message: Value = serde_json::from_str(&line).unwrap_or_default();
            let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
            let silence = noted.2.elapsed();
            *noted = (noted.0, noted.1.max(silence), Instant::now());
            if message["id"] == 2 && message.get("method").is_none() {
                noted.0 = message["result"]["isError"] != true;
                break;
            }
            let dead = habits.dies_at.is_some_and(|at| begun.elapsed() >= at);
            if message["method"] == "ping" && !dead {
                let output = Arc::clone(&output);
                tokio::spawn(async move {
                    sleep(habits.answers_after).await;
                    let id = &message["id"];
                    say(&output, &json!({ "jsonrpc": "2.0", "id": id, "result": {} })).await;
                });
            }
        }
    };
    let _ = tokio::time::timeout(TICK * STEPS * 2, listen).await;
    let (answered, longest_silence, _) = *seen.lock().unwrap_or_else(PoisonError::into_inner);
    let client = bench.stage.connect().await?;
    let steps = client.ask(client.newest(TOOL).await?).await?.steps_done;
    println!("   {:24} {steps} of {STEPS} steps", habits.name);
    client.close().await?;
    Ok(Seen { answered, longest_silence, steps })
}

async fn say(output: &tokio::sync::Mutex<impl tokio::io::AsyncWrite + Unpin>, message: &Value) {
    let line = format!("{message}\n");
    // If the server has gone, the listener notices.
    let _ = output.lock().await.write_all(line.as_bytes()).await;
}

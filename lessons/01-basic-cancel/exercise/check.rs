//! The check of the exercise: the lesson's own story, played against the learner's tool, and what
//! the story leaves to the reader: a call that nobody cancels, and one that is cancelled in the
//! middle of a step.

use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use course::exercise::tool::{Bench, Context, Job, Outcome, TOOL};
use course::exercise::{Clock, Exercise};
use course::lesson::Protocol;
use serde_json::json;
use shared::calls::State;
use shared::client::{patient, tool_call};
use tokio::time::sleep;

/// The exercise of this lesson.
pub const EXERCISE: Exercise = Exercise {
    stub: include_str!("stub.rs"),
    solution: include_str!("solution.rs"),
    file: concat!(env!("CARGO_MANIFEST_DIR"), "/src/exercise.rs"),
    clock: Clock::Paused,
    check: || Box::pin(check(crate::exercise::process)),
};

/// How long a step takes. The clock is paused, so nobody waits for it.
const TICK: Duration = Duration::from_secs(1);

const REPORTS: &str = "ctx.report(step, steps, message) tells the client: once at the start, as \
                       step 0, and after each step";
const ENDS: &str = "Ok(Some(text)) is finished, Ok(None) is cancelled, Err(error) is failed";

/// Plays an answer in both revisions.
pub async fn check<F, A>(tool: F) -> anyhow::Result<String>
where
    F: Fn(Job, Context) -> A + Copy + Send + Sync + 'static,
    A: Future<Output = Outcome> + Send + 'static,
{
    for protocol in [Protocol::V2025, Protocol::V2026] {
        println!("   in memory, where a cancel is a message; revision {protocol}");
        let bench = Bench::new(tool, TICK, protocol)?;
        from_start_to_end(&bench).await?;
        crate::story(&bench.stage).await.map_err(|error| with_advice(&error))?;
        in_the_middle_of_a_step(&bench).await?;
    }
    Ok("your tool stops in the middle of a step, and stays stopped".to_owned())
}

/// Each report comes when it is true: 0 at the start, and each step after its work.
async fn from_start_to_end(bench: &Bench) -> anyhow::Result<()> {
    let client = bench.stage.connect().await?;
    let mut progress = client.progress();
    let call = tool_call(TOOL, json!({ "processing_time": 3 }));
    let handle = client.send_cancellable_request(call, patient()).await?;
    let (token, mut reports) = (handle.progress_token.clone(), Vec::new());
    let answer = handle.await_response();
    tokio::pin!(answer);
    loop {
        let news = tokio::select! {
            biased;
            news = progress.next_of(&token) => news.context("a call that nobody cancels never ends")?,
            _ = &mut answer => break,
        };
        let done = client.ask(client.newest(TOOL).await?).await?.steps_done;
        ensure!(
            news.progress <= done.into(),
            "a call that nobody cancels reports step {} after {done} steps\n{REPORTS}",
            news.progress
        );
        reports.push(news.progress.to_string());
    }
    let reports = if reports.is_empty() { "nothing".to_owned() } else { reports.join(", ") };
    ensure!(
        reports == "0, 1, 2, 3",
        "a call that nobody cancels reports {reports}, and not 0, 1, 2, 3\n{REPORTS}"
    );
    let state = client.ask(client.newest(TOOL).await?).await?.state;
    ensure!(
        state == State::Finished,
        "a call that nobody cancels is {} in the server's list\n{ENDS}",
        format!("{state:?}").to_lowercase()
    );
    client.close().await
}

async fn in_the_middle_of_a_step(bench: &Bench) -> anyhow::Result<()> {
    let client = bench.stage.connect().await?;
    let mut progress = client.progress();
    let call = tool_call(TOOL, json!({ "processing_time": 10 }));
    let handle = client.send_cancellable_request(call, patient()).await?;
    for _ in 0..=1 {
        progress.next_of(&handle.progress_token).await?;
    }
    let number = client.newest(TOOL).await?;
    handle.cancel(None).await?;
    let steps = client.ask_until_ended(number).await?.steps_done;
    ensure!(
        steps == 1,
        "a second call, cancelled in the middle of its step 2, still finished that step\n\
         it looks at ctx.ct between the steps only: wait for the step and the cancel at once"
    );
    // Whoever still works has time for all ten steps.
    sleep(TICK * 20).await;
    let late = bench.late_steps();
    ensure!(
        late == 0,
        "the work went on for {late} steps after the tool had returned\n\
         a spawned task does not end when nobody waits for it: race the work itself"
    );
    client.close().await
}

/// The story's complaint, and what to do about it.
fn with_advice(error: &anyhow::Error) -> anyhow::Error {
    let error = format!("{error:#}");
    let advice = match &*error {
        // It did stop, if it has not done all steps.
        why if why.starts_with("the server did not cancel") && !why.contains("10 of 10") => ENDS,
        why if why.starts_with("the server did not") => {
            "rmcp fires ctx.ct and does no more: tokio::select! over ctx.ct.cancelled() and the step"
        }
        why if why.starts_with("the connection") => {
            "each call has a token of its own: use the ctx of this call, and keep none"
        }
        _ => "the lesson's src/lib.rs makes this claim: look there for what it does before",
    };
    anyhow!("{error}\n{advice}")
}

//! The check of the exercise: a hedged call beside a call of somebody else's, against the healthy
//! server and against two that are wrong.

use std::time::Duration;

use anyhow::{Context, ensure};
use course::exercise::proof::Table;
use course::exercise::tool::{TOOL, setup};
use course::exercise::{Clock, Exercise};
use course::lesson::Protocol;
use course::narrate::outcome;
use course::stage::{Stage, Wrong};
use rmcp::model::ClientRequest;
use serde_json::json;
use shared::calls::State;
use shared::client::{Client, tool_call};
use shared::dataset::part;

use crate::LESSON;

/// The exercise of this lesson.
pub const EXERCISE: Exercise = Exercise {
    stub: include_str!("stub.rs"),
    solution: include_str!("solution.rs"),
    file: concat!(env!("CARGO_MANIFEST_DIR"), "/src/exercise.rs"),
    clock: Clock::Paused,
    check: || Box::pin(check(crate::exercise::hedged)),
};

const TICK: Duration = Duration::from_secs(1);

/// Plays an answer.
pub async fn check<F>(hedged: F) -> anyhow::Result<String>
where
    F: AsyncFn(&Client, Vec<ClientRequest>) -> anyhow::Result<String>,
{
    for protocol in [Protocol::V2025, Protocol::V2026] {
        let mut table = Table::healthy(play(&hedged, protocol, None).await?)?;
        let flaws = [("stops nothing", Wrong::Deaf), ("stops all calls", Wrong::Clumsy)];
        for (name, flaw) in flaws {
            table.wrong(name, play(&hedged, protocol, Some(flaw)).await?);
        }
        table.complete()?;
    }
    Ok("the first good answer counts, and you know that the rest, and only the rest, was stopped"
        .to_owned())
}

/// What the answer says. Of the healthy server we know better, and hold it to that.
async fn play<F>(
    hedged: &F,
    protocol: Protocol,
    wrong: Option<Wrong>,
) -> anyhow::Result<anyhow::Result<()>>
where
    F: AsyncFn(&Client, Vec<ClientRequest>) -> anyhow::Result<String>,
{
    let stage = Stage::in_process(LESSON.server, setup(TICK)?, protocol, wrong)?;
    let client = stage.connect().await?;
    // Somebody else's call, on the same connection. It needs longer than all that follows.
    let other = crate::start(&client, &part(1).0, 200).await?;
    let number = client.newest(TOOL).await?;

    // The first of the three fails at once, the third is the fastest.
    let calls = vec![work("no such file", 1), work(&part(2).0, 50), work(&part(3).0, 3)];
    let answered = match hedged(&client, calls).await {
        Ok(answer) => answer,
        Err(why) => return Ok(Err(why)),
    };
    let calls = client.list_calls().await?;
    if wrong.is_none() {
        ensure!(
            answered.ends_with(&part(3).0),
            "the answer is not that of the fastest call, but: {answered}\n\
             wait for all calls at once, as with a tokio::task::JoinSet; one that fails is no answer"
        );
        let slow = calls.iter().find(|call| call.steps_total == 50).context("no slow call")?;
        ensure!(
            slow.state == State::Cancelled,
            "when you return, the slow call is not cancelled: it is {}\n\
             a dropped handle tells the server nothing: cancel by id, and ask whether that was obeyed",
            outcome(slow)
        );
        let other = calls.iter().find(|call| call.call == number).context("no other call")?;
        ensure!(
            other.state == State::Running,
            "a call that is not yours is no longer at work: it is {}\n\
             cancel the ids of your own calls, and no others",
            outcome(other)
        );
    }
    drop(other);
    client.close().await?;
    Ok(Ok(()))
}

fn work(file: &str, steps: u32) -> ClientRequest {
    tool_call(TOOL, json!({ "filename": file, "processing_time": steps }))
}

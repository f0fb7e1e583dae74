//! The check of the exercise: a call that talks, one that is silent, and one that never ends.

use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use course::exercise::tool::setup;
use course::exercise::{Clock, Exercise};
use course::lesson::Protocol;
use course::narrate::outcome;
use course::stage::Stage;
use rmcp::model::{ClientRequest, ServerResult};
use rmcp::service::ServiceError;
use shared::calls::State;
use shared::client::Client;
use tokio::time::{Instant, timeout};

use crate::{LESSON, TOOL, request};

/// The exercise of this lesson.
pub const EXERCISE: Exercise = Exercise {
    stub: include_str!("stub.rs"),
    solution: include_str!("solution.rs"),
    file: concat!(env!("CARGO_MANIFEST_DIR"), "/src/exercise.rs"),
    clock: Clock::Paused,
    check: || Box::pin(check(crate::exercise::call_with_deadline)),
};

const SILENCE: Duration = Duration::from_secs(3);
const CAP: Duration = Duration::from_secs(20);
/// Nobody should wait for as long as this.
const NEVER: Duration = Duration::from_secs(3600);

/// Plays an answer.
pub async fn check<F>(answer: F) -> anyhow::Result<String>
where
    F: AsyncFn(&Client, ClientRequest, Duration, Duration) -> anyhow::Result<ServerResult>,
{
    for protocol in [Protocol::V2025, Protocol::V2026] {
        println!("   in memory; revision {protocol}");
        let (talks, silent) = (Duration::from_secs(1), Duration::from_secs(60));
        let Played { ended, took, .. } = play(&answer, protocol, talks, 10).await?;
        println!("   10 steps, one each second     {took:?}");
        let why = ended.err().map(|why| in_words(&why)).unwrap_or_default();
        ensure!(
            why.is_empty(),
            "a call that reports each second was given up after {took:?}: {why}\n\
             each progress notification must start the deadline for silence anew"
        );
        let played = play(&answer, protocol, silent, 1).await?;
        given_up(played, "a silent call", SILENCE).await?;
        let played = play(&answer, protocol, talks, 1000).await?;
        given_up(played, "a call that never ends", CAP).await?;
    }
    Ok("you wait for those who talk, and not for ever; and the server is told".to_owned())
}

/// rmcp writes a deadline of three seconds as "PT3S".
fn in_words(why: &anyhow::Error) -> String {
    match why.downcast_ref() {
        Some(ServiceError::Timeout { timeout }) => format!("request timeout after {timeout:?}"),
        _ => format!("{why:#}"),
    }
}

/// How a call ended for its caller, after what time.
struct Played {
    client: Client,
    ended: anyhow::Result<ServerResult>,
    took: Duration,
}

async fn play<F>(
    answer: &F,
    protocol: Protocol,
    tick: Duration,
    steps: u32,
) -> anyhow::Result<Played>
where
    F: AsyncFn(&Client, ClientRequest, Duration, Duration) -> anyhow::Result<ServerResult>,
{
    let stage = Stage::in_process(LESSON.server, setup(tick)?, protocol, None)?;
    let client = stage.connect().await?;
    let begun = Instant::now();
    let ended = timeout(NEVER, answer(&client, request(steps), SILENCE, CAP)).await;
    let (ended, took) = (ended.context("it never ended")?, begun.elapsed());
    Ok(Played { client, ended, took })
}

/// A call had to be given up after that time, and the server had to be told.
async fn given_up(played: Played, call: &str, limit: Duration) -> anyhow::Result<()> {
    let Played { client, ended, took } = played;
    println!("   {call:28}  {took:?}");
    let in_time = (limit..limit + Duration::from_secs(1)).contains(&took);
    ensure!(
        in_time && ended.is_err(),
        "{call} was to be given up after {limit:?}, but your function ended after {took:?}, with {}\n\
         there are two deadlines: one for silence, and a cap, which no progress puts off",
        if ended.is_ok() { "a result" } else { "an error" }
    );
    let newest = client.newest(TOOL).await;
    let newest = newest.map_err(|error| {
        anyhow!(
            "the connection did not survive that {call} was given up: {error:#}\n\
             only the call is to end: others may run on this connection"
        )
    })?;
    let record = client.ask_until_ended(newest).await?;
    ensure!(
        record.state == State::Cancelled,
        "the server was not told that {call} was given up: it is {}\n\
         to stop waiting tells nobody: a RequestHandle that is dropped sends nothing: let \
         rmcp keep the cap too (`PeerRequestOptions`), or keep `handle.id` and call `notify_cancelled`",
        outcome(&record)
    );
    client.close().await
}

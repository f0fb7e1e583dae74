//! The engine dies and comes back. A replica must not lose work by that, and must not acknowledge
//! what it cannot record.

use anyhow::{Context, Result, ensure};
use reqwest::StatusCode;
use serde_json::json;
use shared::calls::State;
use shared::client::{PATIENCE, Patience};

use crate::stage::wire::Caller;
use crate::stage::{LONG, Options, Rig, task};

const ROUNDS: usize = 20;
/// Work that lasts longer than a round.
const LONGER: u32 = 3 * LONG;

/// Plays the chapter.
pub async fn play(options: &Options) -> Result<()> {
    if options.redis.is_some() {
        let why = "an engine that the lesson has not started is left alone";
        options.skip("the engine restarts in mid-work", why);
        return Ok(());
    }
    if !options.needs_engine("the engine restarts in mid-work") {
        return Ok(());
    }
    let mut rig = Rig::start(options, 2, options.manner()).await?;
    let mut errors = 0;
    for _ in 0..ROUNDS {
        errors += round(&mut rig).await?;
    }
    // In each round: a call where the cancel came in, one elsewhere, and a task.
    let (stopped, all) = (rig.stopped().await?, 3 * ROUNDS);
    ensure!(stopped == all, "only {stopped} of {all} cancels stopped the work");
    println!("🔌 the engine was killed {ROUNDS} times in mid-work, and came back:");
    println!("   0 of {ROUNDS} tasks lost, {ROUNDS} cancelled when it was back");
    println!("   meanwhile {ROUNDS} of {ROUNDS} calls could be cancelled where they ran");
    println!(
        "   meanwhile {errors} of {} other cancels and DELETEs were answered with an error",
        3 * ROUNDS
    );
    println!("   each of these calls was cancelled when it was back");
    Ok(())
}

/// The engine dies once. Returns how many cancels were refused.
async fn round(rig: &mut Rig) -> Result<usize> {
    let (here, there) = (rig.url(0).to_owned(), rig.url(1).to_owned());
    let caller = Caller::session(&here).await?;
    let other = caller.at(&there);
    // The other replica knows the session, so it need not look it up when the engine is down.
    other.initialized().await?;
    let mut own = caller.work(&1u32.into(), LONGER).await?;
    own.runs().await?;
    let mut far = caller.work(&2u32.into(), LONGER).await?;
    far.runs().await?;
    let id = task::start(&here, LONGER).await?;

    engine(rig)?.kill().await?;
    // Cancels that nobody could record: none may be acknowledged.
    let mut refused = 0;
    let status = other.cancel(&2u32.into()).await?;
    ensure!(!status.is_success(), "the engine is down, and a cancel was answered {status}");
    refused += 1;
    let error = task::cancel(&there, &id).await?;
    ensure!(error == Some(-32603), "the engine is down, and tasks/cancel was answered {error:?}");
    refused += 1;
    let status = other.delete().await?;
    ensure!(!status.is_success(), "the engine is down, and a DELETE was answered {status}");
    refused += 1;
    let status = caller.cancel(&1u32.into()).await?;
    let stopped = status == StatusCode::ACCEPTED && own.is_cancelled().await?;
    ensure!(stopped, "with the engine down, a call could not be cancelled where it ran: {status}");
    let session = caller.session.clone().unwrap_or_default();
    let runs = rig.replicas[0].calls().await?.into_iter().any(|call| {
        let ours = call.session.as_deref().is_some_and(|start| session.starts_with(start));
        ours && json!(call.request_id) == 2 && call.state == State::Running
    });
    ensure!(runs, "the engine went down, and a call was lost");

    engine(rig)?.run().await?;
    let status =
        again_status(&there, &id).await.context("the engine came back, and a task is lost")?;
    ensure!(status == "working", "the engine came back, and a task is `{status}`");
    // A client that was told of an error asks again.
    again(|| async { Ok(other.cancel(&2u32.into()).await?.is_success()) }).await?;
    ensure!(far.is_cancelled().await?, "the engine is back, and a cancel was lost");
    again(|| async { Ok(task::cancel(&there, &id).await?.is_none()) }).await?;
    let (status, _) = task::ended(&there, &id).await?;
    ensure!(status == "cancelled", "the engine is back, and a cancelled task is `{status}`");
    Ok(refused)
}

fn engine(rig: &mut Rig) -> Result<&mut crate::stage::engine::Engine> {
    rig.engine.as_mut().ok_or_else(|| anyhow::anyhow!("there is no engine"))
}

async fn again<F: Future<Output = Result<bool>>>(attempt: impl Fn() -> F) -> Result<()> {
    let mut patience = Patience::of(PATIENCE);
    while !attempt().await? {
        ensure!(patience.lasts().await, "the engine is back, and replicas do not notice");
    }
    Ok(())
}

/// The status of the task, as soon as the replica can tell it.
async fn again_status(url: &str, id: &str) -> Result<String> {
    again(|| async { Ok(task::get(url, id).await?["error"]["code"] != -32603) }).await?;
    task::status(url, id).await
}

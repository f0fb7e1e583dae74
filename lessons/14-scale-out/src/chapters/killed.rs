//! The owner of a task dies, or sleeps for too long: the lease finds out. An owner that is told to
//! stop needs no lease.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use serde_json::Value;
use shared::calls::State;
use shared::client::{PATIENCE, Patience};
use tokio::time::Instant;

use crate::redis::RedisStore;
use crate::replica::Manner;
use crate::stage::{LONG, Options, Rig, task};
use crate::store::{GONE, Store};

const ROUNDS: usize = 20;
const LEASE: Duration = Duration::from_secs(2);
/// What the server's guard answers a call that a stop ends.
const SHUTTING_DOWN: &str = "the server is shutting down";
/// Work that is not done before its owner wakes up.
const LONGER: u32 = 3 * LONG;

/// Plays the chapter.
pub async fn play(options: &Options) -> Result<()> {
    if !options.needs_engine("the owner of a task dies") {
        return Ok(());
    }
    let rig = Rig::start(options, 1, Manner { lease: LEASE, ..options.manner() }).await?;
    dead(&rig).await?;
    asleep(&rig).await?;
    told(&rig).await
}

/// 20 owners die with -9. Nobody can tell the client then, so the one that is asked does.
async fn dead(rig: &Rig) -> Result<()> {
    let mut tasks = Vec::new();
    for _ in 0..ROUNDS {
        let owner = rig.another().await?;
        let id = task::start(&owner.url, LONG).await?;
        owner.signal("KILL").await?;
        tasks.push(id);
    }
    let died = Instant::now();
    let ended = try_join_all(tasks.iter().map(|id| task::ended(rig.url(0), id))).await?;
    let failed = ended.iter().filter(|(status, answer)| {
        status == "failed" && answer["result"]["error"]["message"] == GONE
    });
    let failed = failed.count();
    println!("💀 {ROUNDS} owners killed: {failed} of {ROUNDS} tasks end as `failed`");
    println!("   \"{GONE}\"");
    println!("   the last {:.1} s after the last death (lease: {LEASE:?})", seconds(died));
    ensure!(failed == ROUNDS, "a task whose owner has died ended otherwise: {ended:?}");
    Ok(())
}

/// 20 owners are stopped for longer than their lease, and wake up. They cannot know.
async fn asleep(rig: &Rig) -> Result<()> {
    let owners = try_join_all((0..ROUNDS).map(|_| rig.another())).await?;
    let mut tasks = Vec::new();
    for owner in &owners {
        tasks.push(task::start(&owner.url, LONGER).await?);
    }
    for owner in &owners {
        owner.signal("STOP").await?;
    }
    let ended = try_join_all(tasks.iter().map(|id| task::ended(rig.url(0), id))).await?;
    let failed = ended.iter().filter(|(status, _)| status == "failed").count();
    ensure!(failed == ROUNDS, "the task of an owner that sleeps ended otherwise: {ended:?}");

    // Its next beat tells it to stop.
    for owner in &owners {
        owner.signal("CONT").await?;
    }
    let mut stopped = 0;
    for owner in &owners {
        let calls = owner.calls_when_ended().await?;
        stopped += calls.iter().filter(|call| call.state == State::Cancelled).count();
    }
    println!("💤 {ROUNDS} owners slept past their lease: {stopped} stop when they wake up");
    ensure!(stopped == ROUNDS, "{} owners that had lost their task worked on", ROUNDS - stopped);

    // Then it tries to write an end, and is refused.
    let mut refused = 0;
    if let Some(engine) = &rig.engine {
        let store = RedisStore::open(&engine.url, &engine.prefix).await?;
        for id in &tasks {
            refused += u32::from(was_refused(&store, id).await?);
        }
    }
    let mut kept = 0;
    for id in &tasks {
        kept += usize::from(task::status(rig.url(0), id).await? == "failed");
    }
    println!("   {refused} of {ROUNDS} are refused when they write an end; {kept} stay `failed`");
    ensure!(kept == ROUNDS, "an owner that had lost its task has overwritten the task's end");
    ensure!(usize::try_from(refused)? == ROUNDS, "only {refused} of {ROUNDS} were refused");
    Ok(())
}

/// An owner that is told to stop writes the ends itself before it goes: the lease is not needed.
async fn told(rig: &Rig) -> Result<()> {
    let owner = rig.another().await?;
    let tasks = try_join_all((0..ROUNDS).map(|_| task::start(&owner.url, LONG))).await?;
    owner.signal("TERM").await?;
    let ended = try_join_all(tasks.iter().map(|id| task::ended(rig.url(0), id))).await?;
    let words = |answer: &Value| answer["result"]["error"]["message"].clone();
    let said = ended.iter().filter(|(_, answer)| words(answer) == SHUTTING_DOWN).count();
    println!("👋 told to stop (SIGTERM), an owner ends {said} of its {ROUNDS} tasks itself");
    println!("   \"{SHUTTING_DOWN}\"");
    ensure!(said == ROUNDS, "an owner was told to stop, and left tasks to their lease");
    Ok(())
}

async fn was_refused(store: &RedisStore, id: &str) -> Result<bool> {
    let mut patience = Patience::of(PATIENCE);
    while store.task(id).await?.is_none_or(|task| task.refused == 0) {
        if !patience.lasts().await {
            return Ok(false);
        }
    }
    Ok(true)
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

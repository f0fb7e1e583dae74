//! The cure. A cancel that a replica cannot carry out is recorded, and then rung for all
//! replicas. `sessions.rs` is the server's half of this chapter.

use std::time::Instant;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use futures::stream::{self, StreamExt, TryStreamExt};
use reqwest::StatusCode;
use serde_json::Value;
use shared::calls::State;

use super::median;
use crate::flaw::Flaw;
use crate::replica::Manner;
use crate::stage::replicas::count;
use crate::stage::wire::Caller;
use crate::stage::{LONG, Options, Rig};

/// Calls of a session.
const CALLS: u32 = 20;
/// So many of them run at once.
const AT_ONCE: usize = 10;
/// How often each rarer case is tried.
const TRIES: u32 = 20;
/// Work that ends by itself after its record was looked at twice.
const SHORT: u32 = 30;

/// So many sessions are opened at once. Wrong replicas give themselves away in two.
fn sessions(options: &Options) -> usize {
    if options.wrong.is_some() { 2 } else { 10 }
}

/// Plays the chapter.
pub async fn play(options: &Options) -> Result<()> {
    every_cancel_arrives(options).await?;
    let rig = Rig::start(options, 2, options.manner()).await?;
    overtaken(&rig).await?;
    ids_are_typed(&rig).await?;
    other_sessions_are_left_alone(&rig, sessions(options)).await?;
    deleted_elsewhere(&rig).await?;
    // Without bells each cancel takes half a second: a few show it.
    ratio(&rig, if options.wrong.is_some() { 4 } else { TRIES }).await?;
    if options.wrong.is_none() {
        usage(options).await?;
    }
    missed_bells(options).await
}

/// 200 cancels in all, through a round robin before three replicas. In two of three cases the cancel
/// comes in where the call does not run.
async fn every_cancel_arrives(options: &Options) -> Result<()> {
    let rig = Rig::start(options, 3, options.manner()).await?;
    let opened = sessions(options);
    let sessions = (0..opened).map(async |session| {
        let caller = Caller::session(&rig.balancer.url).await?;
        let calls = stream::iter(0..CALLS).map(anyhow::Ok);
        calls
            .try_for_each_concurrent(AT_ONCE, async |call| {
                let id = Value::from(format!("{session}-{call}"));
                cancelled(&caller, &caller, &id).await
            })
            .await
    });
    try_join_all(sessions).await?;
    let stopped = rig.stopped().await?;
    let all = opened * usize::try_from(CALLS)?;
    println!("🛑 with the bus: {stopped} of {all} cancels through a round robin stop the work");
    ensure!(stopped == all, "only {stopped} of {all} cancels stopped the work");
    Ok(())
}

/// Starts a call, cancels it, and insists that it is closed as cancelled.
async fn cancelled(caller: &Caller, canceller: &Caller, id: &Value) -> Result<()> {
    let mut events = caller.work(id, LONG).await?;
    events.runs().await?;
    let status = canceller.cancel(id).await?;
    ensure!(status == StatusCode::ACCEPTED, "a cancel was answered {status}");
    ensure!(events.is_cancelled().await?, "a cancel was answered 202, and its call ran to its end");
    Ok(())
}

/// The cancel may come before its call: two connections, two replicas. The bell rings in vain;
/// the record is there when the call starts.
async fn overtaken(rig: &Rig) -> Result<()> {
    let caller = Caller::session(rig.url(0)).await?;
    for id in 100..100 + TRIES {
        let status = caller.at(rig.url(1)).cancel(&id.into()).await?;
        ensure!(status == StatusCode::ACCEPTED, "a cancel was answered {status}");
        let events = caller.work(&id.into(), LONG).await?;
        ensure!(events.is_cancelled().await?, "a cancel that overtook its call was forgotten");
    }
    let stopped = rig.stopped().await?;
    println!("   {stopped} of {TRIES} cancels that overtook their call stop it");
    ensure!(stopped == usize::try_from(TRIES)?, "only {stopped} of {TRIES} calls were stopped");
    Ok(())
}

/// 7 and "7" are two ids.
async fn ids_are_typed(rig: &Rig) -> Result<()> {
    let caller = Caller::session(rig.url(0)).await?;
    let tries = (200..200 + TRIES).map(async |id| {
        let mut events = caller.work(&id.into(), SHORT).await?;
        events.runs().await?;
        let status = caller.at(rig.url(1)).cancel(&Value::from(id.to_string())).await?;
        ensure!(status == StatusCode::ACCEPTED, "a cancel was answered {status}");
        ensure!(!events.is_cancelled().await?, "the cancel of \"{id}\" stopped the call {id}");
        Ok(())
    });
    try_join_all(tries).await?;
    println!("   {TRIES} of {TRIES} cancels of \"7\" leave the call 7 alone");
    Ok(())
}

/// Ids count in their session. Every client begins with 1, so all sessions have the same.
async fn other_sessions_are_left_alone(rig: &Rig, sessions: usize) -> Result<()> {
    let pairs = (0..sessions).map(async |pair| {
        let (one, other) =
            (Caller::session(&rig.balancer.url).await?, Caller::session(rig.url(1)).await?);
        let calls = stream::iter(0..CALLS).map(anyhow::Ok);
        calls
            .try_for_each_concurrent(AT_ONCE, async |call| {
                let id = Value::from(format!("{pair}-{call}-twice"));
                let mut bystander = other.work(&id, SHORT).await?;
                bystander.runs().await?;
                cancelled(&one, &one.at(rig.url(0)), &id).await?;
                let stopped = bystander.is_cancelled().await?;
                ensure!(!stopped, "a cancel stopped the call with the same id in another session");
                Ok(())
            })
            .await
    });
    try_join_all(pairs).await?;
    let all = sessions * usize::try_from(CALLS)?;
    println!("   0 of {all} calls with the same id in another session were stopped");
    Ok(())
}

/// A session that is deleted on one replica ends on all, with its calls.
async fn deleted_elsewhere(rig: &Rig) -> Result<()> {
    let sessions = (0..TRIES).map(async |_| {
        let caller = Caller::session(rig.url(0)).await?;
        let mut events = caller.work(&1u32.into(), LONG).await?;
        events.runs().await?;
        let status = caller.at(rig.url(1)).delete().await?;
        ensure!(status.is_success(), "a DELETE was answered {status}");
        Ok(caller.session.unwrap_or_default())
    });
    let deleted = try_join_all(sessions).await?;
    let calls = rig.replicas[0].calls_when_ended().await?;
    let ours = calls.into_iter().filter(|call| {
        let session = call.session.as_deref().unwrap_or("-");
        deleted.iter().any(|id| id.starts_with(session))
    });
    let ours: Vec<_> = ours.collect();
    let stopped = count(&ours, State::Cancelled);
    println!("   {stopped} of {TRIES} DELETEs on the other replica stop the session's call");
    let all = usize::try_from(TRIES)?;
    ensure!(stopped == all, "a session was deleted on another replica, and its call ran on");
    Ok(())
}

/// What the way over the engine costs.
async fn ratio(rig: &Rig, tries: u32) -> Result<()> {
    let caller = Caller::session(rig.url(0)).await?;
    let mut medians = [0.0; 2];
    for (replica, median_of) in medians.iter_mut().enumerate() {
        let canceller = caller.at(rig.url(replica));
        let mut times = Vec::new();
        for id in 1..=tries {
            // Each its own id: the record of a cancel outlives its call.
            let id = Value::from(format!("{replica}-{id}"));
            let mut events = caller.work(&id, LONG).await?;
            events.runs().await?;
            let sent = Instant::now();
            canceller.cancel(&id).await?;
            ensure!(events.is_cancelled().await?, "a call ran to its end");
            times.push(sent.elapsed());
        }
        *median_of = median(times);
    }
    let [same, other] = medians;
    println!(
        "⏱  cancel to stop: {same:.1} ms on the same replica, {other:.1} ms by way of another, \
         ratio {:.1}",
        other / same
    );
    Ok(())
}

/// What a call costs the engine.
async fn usage(options: &Options) -> Result<()> {
    if !options.needs_engine("what the engine does per call") {
        return Ok(());
    }
    let rig = Rig::start(options, 2, options.manner()).await?;
    let Some(engine) = rig.engine.as_ref().filter(|engine| engine.is_own()) else {
        options.skip("what the engine does per call", "others may use the engine of --redis");
        return Ok(());
    };
    let none = engine.usage().await?;
    for _ in 1..CALLS {
        Caller::session(rig.url(0)).await?;
    }
    let caller = Caller::session(rig.url(0)).await?;
    let one = engine.usage().await?;
    for id in 1..=CALLS {
        caller.work(&id.into(), 1).await?.last().await?;
    }
    let two = engine.usage().await?;
    let other = caller.at(rig.url(1));
    other.cancel(&0u32.into()).await?;
    let three = engine.usage().await?;
    for id in 1..=CALLS {
        cancelled(&caller, &other, &(1000 + id).into()).await?;
    }
    let four = engine.usage().await?;
    println!("📊 the engine's work:");
    one.print_since(&none, "a session", CALLS.into());
    two.print_since(&one, "a short call", CALLS.into());
    three.print_since(&two, "a session, restored, and a cancel", 1);
    four.print_since(&three, "a call, and its cancel elsewhere", CALLS.into());
    Ok(())
}

/// A replica that hears no bell at all. Its calls stop a little later, and that is all.
async fn missed_bells(options: &Options) -> Result<()> {
    let flaw = options.wrong.or(Some(Flaw::NoBells));
    let rig = Rig::start(options, 2, Manner { flaw, ..options.manner() }).await?;
    let caller = Caller::session(rig.url(0)).await?;
    let other = caller.at(rig.url(1));
    try_join_all((1..=TRIES).map(async |id| cancelled(&caller, &other, &id.into()).await)).await?;
    let stopped = rig.stopped().await?;
    println!("   {stopped} of {TRIES} cancels stop the work of a replica that hears no bell");
    ensure!(stopped == usize::try_from(TRIES)?, "only {stopped} of {TRIES} calls were stopped");
    Ok(())
}

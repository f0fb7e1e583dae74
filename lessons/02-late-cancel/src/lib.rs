//! Lesson 2: a cancel that comes too late, and the race before it.
//!
//! A cancel travels. Meanwhile the call may finish. So each side must be ready for a cancel
//! that finds nothing left to stop, and for two different memories of how a call ended, both
//! honest. First the calm case, then the race itself, a hundred times.

#[path = "../exercise/check.rs"]
pub mod check;
mod exercise;
pub mod tools;

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use course::lesson::{Lesson, Protocol, Transport};
use course::narrate::timeline;
use course::stage::Stage;
use hosting::layer::Server;
use rmcp::model::{CancelledNotificationParam, RequestId};
use rmcp::service::ServiceError;
use serde_json::json;
use shared::arrivals::Traffic;
use shared::calls::{CallRecord, State};
use shared::client::{Client, patient, tool_call};

/// Lesson 2.
pub const LESSON: Lesson = Lesson {
    number: 2,
    name: "late-cancel",
    title: "A cancel that comes too late, and the race before it",
    transports: &[Transport::Http, Transport::Stdio],
    protocols: &[Protocol::V2025, Protocol::V2026],
    server: |setup| Ok(Server::new(tools::QuickServer::new(setup))),
    story: |stage| Box::pin(story(stage)),
    chapters: &[],
    exercise: Some(&check::EXERCISE),
};

const ROUNDS: u32 = 100;

/// The lesson. Read it from top to bottom.
pub async fn story(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.connect().await?;
    too_late(&client).await?;
    race(&client).await?;
    client.close().await
}

/// The calm case: the call is over, and then its cancel arrives.
async fn too_late(client: &Client) -> anyhow::Result<()> {
    println!("📁 a call that finishes before its cancel is sent");
    let call = tool_call("count_rows", json!({ "filename": "large_dataset.csv" }));
    let handle = client.send_cancellable_request(call, patient()).await?;
    let (id, token) = (handle.id.clone(), handle.progress_token.clone());
    handle.await_response().await?;
    let number = client.newest("count_rows").await?;
    let look = async || {
        let record = client.ask_until_ended(number).await?;
        anyhow::Ok(Seen { record, traffic: client.traffic(&id, &token) })
    };
    let before = look().await?;
    ensure!(
        before.record.state == State::Finished,
        "count_rows did not finish: {:?}",
        before.record
    );

    println!("🛑 cancel request {id}, which has its result already");
    cancel(client, &id).await?;

    // What may happen now? Nothing at all: "invalid cancellation notifications SHOULD be
    // ignored" (basic/patterns/cancellation), and a finished request is one of the cases
    // it names. To see that nothing happens, we let another call pass first.
    let next = client.call("count_rows", json!({ "filename": "part_0.csv" })).await;
    next.context("the server did not survive a late cancel")?;
    let after = look().await?;
    ensure!(
        after.record == before.record,
        "the late cancel changed a finished call: {:?} became {:?}",
        before.record,
        after.record
    );
    ensure!(
        after.traffic == before.traffic,
        "the late cancel was answered. Before it: {}; after it: {}",
        before.traffic,
        after.traffic
    );
    println!("   server: still finished, with its result; the next call is served");
    print!("\n{}\n", timeline(&[after.record], &[]));
    Ok(())
}

/// What the server says of a call, and what has come in for it.
struct Seen {
    record: CallRecord,
    traffic: Traffic,
}

/// The race: each cancel is sent near the moment at which its call finishes.
async fn race(client: &Client) -> anyhow::Result<()> {
    println!("🏁 {ROUNDS} calls, each cancelled near the moment at which it finishes");
    let last = client.newest("count_rows").await?;
    let mut rounds = Vec::new();
    // Where that moment is depends on the machine, so the race finds it. After a call that ended
    // here as cancelled the next cancel waits longer; after one that finished, it waits less.
    let mut delay = 0.0;
    for _ in 0..ROUNDS {
        let call = tool_call("count_rows", json!({ "filename": "large_dataset.csv" }));
        let handle = client.send_cancellable_request(call, patient()).await?;
        let (id, token) = (handle.id.clone(), handle.progress_token.clone());
        let answer = tokio::spawn(handle.await_response());
        pause(delay).await;
        cancel(client, &id).await?;
        // However the race ends, our side ends exactly once, and in one of two ways.
        let finished = match answer.await? {
            Ok(_) => true,
            Err(ServiceError::Cancelled { .. }) => false,
            Err(error) => {
                bail!("request {id} settled neither as finished nor as cancelled: {error}")
            }
        };
        delay = if finished { delay / 1.2 } else { delay * 1.2 + 0.000_1 };
        rounds.push((id, token, finished));
    }

    // Now the server's side of the same calls.
    let mut calls = client.ask_until_all_ended().await?;
    calls.retain(|call| call.call > last);
    let mut ends = Ends::default();
    for (id, token, finished_here) in &rounds {
        let traffic = client.traffic(id, token);
        let answers = traffic.results + traffic.errors;
        ensure!(answers <= 1, "request {id} was answered {answers} times");
        let there = calls.iter().find(|call| call.request_id == *id).map(|call| call.state);
        match (finished_here, there) {
            // A result on the wire for a call that the server cancelled. rmcp hides it from
            // the caller, but it must not be sent.
            (_, Some(State::Cancelled)) if traffic.results > 0 => ends.forbidden += 1,
            (true, Some(State::Finished)) => ends.both_finished += 1,
            (false, Some(State::Cancelled)) => ends.both_cancelled += 1,
            (false, Some(State::Finished)) => ends.crossed += 1,
            (false, None) => ends.unseen += 1,
            (_, state) => bail!("request {id}: finished here: {finished_here}, there {state:?}"),
        }
    }
    let Ends { both_finished, both_cancelled, crossed, unseen, forbidden } = ends;
    println!("   here        server");
    println!("   finished    finished   {both_finished:4}  the cancel came too late");
    println!("   cancelled   cancelled  {both_cancelled:4}  the cancel came in time");
    println!("   cancelled   finished   {crossed:4}  they crossed: nobody reads the result");
    println!("   cancelled   (unseen)   {unseen:4}  so early that no tool saw the call");
    println!("   a result    cancelled  {forbidden:4}  must be 0: an answer for stopped work");
    ensure!(
        forbidden == 0,
        "{forbidden} calls were answered although the server says that it cancelled them"
    );
    ensure!(
        both_cancelled > 0,
        "no call was cancelled in {ROUNDS} rounds: is the server listening?"
    );
    ensure!(both_finished > 0, "no call finished in {ROUNDS} rounds: the cancels were never late");
    Ok(())
}

/// How many of the calls ended in which way, here and at the server.
#[derive(Default)]
struct Ends {
    both_finished: u32,
    both_cancelled: u32,
    crossed: u32,
    unseen: u32,
    forbidden: u32,
}

async fn cancel(client: &Client, id: &RequestId) -> anyhow::Result<()> {
    let cancel = CancelledNotificationParam::new(Some(id.clone()), Some("no longer needed".into()));
    Ok(client.notify_cancelled(cancel).await?)
}

/// Waits so many seconds. tokio's timer counts in milliseconds, and this race is decided by less,
/// so the last two are spun away.
async fn pause(seconds: f64) {
    const SPUN: f64 = 0.002;
    let started = std::time::Instant::now();
    if seconds > SPUN {
        tokio::time::sleep(Duration::from_secs_f64(seconds - SPUN)).await;
    }
    while started.elapsed().as_secs_f64() < seconds {
        tokio::task::yield_now().await;
    }
}

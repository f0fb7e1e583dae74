//! Lesson 2: a cancel that comes too late, and the race before it.
//!
//! A cancel travels; while it does, the call may finish. So each side must be ready for
//! a cancel that finds nothing left to stop, and for two honest, different memories of
//! how a call ended. First the calm case, then the race itself, two hundred times.

pub mod tools;

use std::collections::HashMap;

use anyhow::{Context, bail, ensure};
use course::lesson::{Lesson, Protocol, Transport};
use course::narrate::timeline;
use course::stage::Stage;
use rmcp::model::{CancelledNotificationParam, RequestId};
use rmcp::service::ServiceError;
use serde_json::json;
use shared::calls::State;
use shared::client::{Client, patient, tool_call};
use shared::layer::Server;
use tokio::time::{Duration, Instant};

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
};

const ROUNDS: u32 = 200;

/// How one side remembers the end of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Finished,
    Cancelled,
}

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
    let before = (client.ask_until_ended(&id).await?, client.traffic(&id, &token));
    ensure!(before.0.state == State::Finished, "count_rows did not finish: {:?}", before.0);

    println!("🛑 cancel request {id}, which has its result already");
    cancel(client, &id).await?;

    // What may happen now? Nothing at all: "invalid cancellation notifications SHOULD be
    // ignored" (basic/utilities/cancellation), and a finished request is one of the cases
    // it names. Nothing takes time to be seen, so we let another call pass first.
    let next = client.call("count_rows", json!({ "filename": "part_0.csv" })).await;
    next.context("the server did not survive a late cancel")?;
    let after = (client.ask_until_ended(&id).await?, client.traffic(&id, &token));
    ensure!(
        after.0 == before.0,
        "the late cancel changed a finished call: {:?} became {:?}",
        before.0,
        after.0
    );
    ensure!(after.1 == before.1, "the late cancel was answered: {:?}", after.1);
    println!("   server: still finished, with its result; the next call is served");
    print!("\n{}\n", timeline(&[after.0], &[]));
    Ok(())
}

/// The race: the cancel is fired around the moment of completion, earlier and later.
async fn race(client: &Client) -> anyhow::Result<()> {
    // How long does a call take here, when nobody disturbs it?
    let mut undisturbed = Vec::new();
    for _ in 0..21 {
        let started = Instant::now();
        client.call("count_rows", json!({ "filename": "large_dataset.csv" })).await?;
        undisturbed.push(started.elapsed());
    }
    undisturbed.sort();
    let typical = undisturbed[undisturbed.len() / 2];
    println!(
        "🏁 {ROUNDS} calls, each cancelled somewhere between at once and twice as late as it takes"
    );

    let mut here: HashMap<RequestId, End> = HashMap::new();
    let mut tokens = Vec::new();
    for round in 0..ROUNDS {
        let call = tool_call("count_rows", json!({ "filename": "large_dataset.csv" }));
        let handle = client.send_cancellable_request(call, patient()).await?;
        let id = handle.id.clone();
        tokens.push((id.clone(), handle.progress_token.clone()));
        let answer = tokio::spawn(handle.await_response());
        pause(typical * 2 * round / ROUNDS).await;
        cancel(client, &id).await?;
        // However the race ends, our side ends exactly once, and in one of two ways.
        let end = match answer.await? {
            Ok(_) => End::Finished,
            Err(ServiceError::Cancelled { .. }) => End::Cancelled,
            Err(error) => {
                bail!("request {id} settled neither as finished nor as cancelled: {error}")
            }
        };
        here.insert(id, end);
    }

    // Now the server's side of the same calls. Later calls overwrite earlier ones that had
    // the same id on another connection.
    let there: HashMap<RequestId, State> =
        client.ask_until_all_ended().await?.into_iter().map(|c| (c.request_id, c.state)).collect();

    let (mut both_finished, mut both_cancelled, mut crossed, mut unsent, mut impossible) =
        (0, 0, 0, 0, 0);
    for (id, token) in &tokens {
        let traffic = client.traffic(id, token);
        ensure!(
            traffic.results + traffic.errors <= 1,
            "request {id} was answered {} times",
            traffic.results + traffic.errors
        );
        match (here[id], there.get(id)) {
            // A result on the wire for a call that the server cancelled: even if rmcp hides
            // it from the caller, it must not be sent.
            (_, Some(State::Cancelled)) if traffic.results > 0 => impossible += 1,
            (End::Finished, Some(State::Finished)) => both_finished += 1,
            (End::Cancelled, Some(State::Cancelled)) => both_cancelled += 1,
            (End::Cancelled, Some(State::Finished)) => crossed += 1,
            (End::Cancelled, None) => unsent += 1,
            (end, state) => bail!("request {id}: here {end:?}, at the server {state:?}"),
        }
    }
    println!("   here        server");
    println!("   finished    finished   {both_finished:4}  the cancel came too late");
    println!("   cancelled   cancelled  {both_cancelled:4}  the cancel came in time");
    println!(
        "   cancelled   finished   {crossed:4}  they crossed: nobody waits for the result any more"
    );
    println!("   cancelled   (unseen)   {unsent:4}  so early that the call was never sent");
    println!(
        "   a result    cancelled  {impossible:4}  must be 0: an answer for work that was stopped"
    );
    ensure!(
        impossible == 0,
        "{impossible} calls were answered although the server says that it cancelled them"
    );
    ensure!(
        both_cancelled > 0,
        "no call was cancelled in {ROUNDS} rounds: is the server listening?"
    );
    ensure!(both_finished > 0, "no call finished in {ROUNDS} rounds: the cancels were never late");
    Ok(())
}

async fn cancel(client: &Client, id: &RequestId) -> anyhow::Result<()> {
    let cancel = CancelledNotificationParam::new(Some(id.clone()), Some("no longer needed".into()));
    Ok(client.notify_cancelled(cancel).await?)
}

/// tokio's timer counts in milliseconds. This race is decided by less, so spin.
async fn pause(length: Duration) {
    let started = Instant::now();
    while started.elapsed() < length {
        tokio::task::yield_now().await;
    }
}

//! Lesson 5: a server cannot kill a tool, the tool must look.
//!
//! A cancel is a request. How a tool is written decides whether its work stops, and how soon.
//! The three tools in `tools.rs` do the same work in three ways. This story cancels each, and
//! asks the server how many rows it has read since.

#[path = "../exercise/check.rs"]
pub mod check;
mod exercise;
pub mod tools;
pub mod witness;
pub mod work;

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Utc};
use course::lesson::{Lesson, Protocol, Transport};
use course::narrate::{outcome, timeline};
use course::stage::Stage;
use hosting::layer::Server;
use rmcp::model::RequestId;
use serde_json::{Value, json};
use shared::calls::{CallRecord, State};
use shared::client::Client;
use tokio::time::{Duration, Instant};

use tools::{EVERY, RowsRead, THREADS};

/// Lesson 5.
pub const LESSON: Lesson = Lesson {
    number: 5,
    name: "cooperative",
    title: "A server cannot kill a tool: the tool must look",
    transports: &[Transport::Http, Transport::Stdio],
    protocols: &[Protocol::V2025, Protocol::V2026],
    server: |setup| Ok(Server::new(tools::WorkServer::new(setup))),
    story: |stage| Box::pin(story(stage)),
    chapters: &[],
    exercise: Some(&check::EXERCISE),
};

/// Passes over the file that nobody waits for: they take minutes.
const LONG: u32 = 10_000;
/// Passes that take a tenth of a second or more. So long does a tool go on that never looks.
const STUBBORN: u32 = 10;

/// The lesson. Read it from top to bottom, with `tools.rs` beside it. All that it claims is
/// counted. Times and costs are printed, because they differ from machine to machine.
pub async fn story(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.connect().await?;
    three_ways(&client).await?;
    how_often(&client).await?;
    a_bound(&client).await?;
    client.close().await
}

/// The same work in three tools, cancelled after the first pass over the file.
async fn three_ways(client: &Client) -> anyhow::Result<()> {
    println!("   tool       stopped after   rows read after the cancel");
    let mut stops = Vec::new();
    for tool in ["awaits", "polls"] {
        let stop = cancel_at_work(client, tool, json!({ "passes": LONG })).await?;
        let (took, read) = (stop.took_ms(), stop.after_cancel);
        println!("   {tool:8} {took:10.1} ms   {read:8} of at most {EVERY}");
        ensure!(read <= EVERY, "{tool} read {read} rows after its cancel, not {EVERY} at most");
        stops.push(stop);
    }

    // And the one that never looks. All a server can do is to be honest about it.
    let handle = client.at_work("ignores", json!({ "passes": STUBBORN })).await?;
    let (id, sent_at) = (handle.id.clone(), Utc::now());
    handle.cancel(Some("enough of it".to_owned())).await?;
    let call = until_ended(client, &id).await?;
    ensure!(call.state == State::Finished, "ignores has stopped: {}", outcome(&call));
    let stop = Stop::new(client, call, sent_at).await?;
    let (took, read) = (stop.took_ms(), stop.after_cancel);
    ensure!(read > 0, "ignores was not cancelled while it worked");
    println!("   ignores  {took:10.1} ms   {read:8}, which is all that were left");
    stops.push(stop);

    let cancels: Vec<_> =
        stops.iter().map(|stop| (stop.call.request_id.clone(), stop.sent_at)).collect();
    let calls: Vec<_> = stops.into_iter().map(|stop| stop.call).collect();
    print!("\n{}\n", timeline(&calls, &cancels));
    Ok(())
}

/// How often should a loop look? Each look costs a little, each row without one delays the stop.
async fn how_often(client: &Client) -> anyhow::Result<()> {
    const RARELY: u64 = 500_000;
    // In turns, so that a slow moment of this machine hits all alike. The best of three counts.
    let mut best = [0, 1, EVERY, RARELY].map(|every| (every, Duration::MAX));
    for _ in 0..3 {
        for (every, took) in &mut best {
            let begun = Instant::now();
            client.call("polls", json!({ "passes": 1, "every": *every })).await?;
            *took = begun.elapsed().min(*took);
        }
    }
    println!("   polls looks       a pass takes    stops at row   rows read after the cancel");
    println!("   never           {:10.1} ms           never   all", best[0].1.as_secs_f64() * 1e3);
    for (every, took) in &best[1..] {
        let passes = json!({ "passes": LONG, "every": every });
        let Stop { rows, after_cancel: after, .. } =
            cancel_at_work(client, "polls", passes).await?;
        let took = took.as_secs_f64() * 1e3;
        println!("   every {every:<9} {took:10.1} ms   {rows:>13}   {after:>6}");
        // It stops only where it looks. So after half a million rows comes the first
        // chance to stop, although the cancel came at row 100,000 or soon after.
        ensure!(
            rows.is_multiple_of(*every) && after <= *every,
            "polls does not look every {every} rows: it stopped at row {rows}, {after} rows after \
             its cancel"
        );
    }
    println!();
    Ok(())
}

/// Tools that do not stop need a bound on what they can take from the others.
async fn a_bound(client: &Client) -> anyhow::Result<()> {
    println!(
        "   ignores, {THREADS} times, cancelled; the server has {THREADS} threads for such work"
    );
    let mut ids = Vec::new();
    for _ in 0..THREADS {
        let handle = client.at_work("ignores", json!({ "passes": STUBBORN })).await?;
        ids.push(handle.id.clone());
        handle.cancel(None).await?;
    }
    match client.call("polls", json!({ "passes": 1 })).await {
        Err(error) => println!("   next caller:  {error:#}"),
        Ok(_) => bail!("no bound: more threads are at work than there should be"),
    }
    let other = client.call("awaits", json!({ "passes": 1 })).await;
    other.context("a tool that needs no thread was not served")?;
    println!("   meanwhile:    awaits is served");
    for id in &ids {
        until_ended(client, id).await?;
    }
    let busy = rows_read(client).await?.busy_threads;
    ensure!(busy == 0, "all calls have ended, but threads are still at work: {busy}");
    println!("   in the end:   {busy} busy threads");
    Ok(())
}

/// A call that was cancelled while it worked, and what the server says of it.
struct Stop {
    call: CallRecord,
    sent_at: DateTime<Utc>,
    rows: u64,
    after_cancel: u64,
}

impl Stop {
    async fn new(
        client: &Client,
        call: CallRecord,
        sent_at: DateTime<Utc>,
    ) -> anyhow::Result<Self> {
        let calls = rows_read(client).await?.calls;
        let ours = calls.into_iter().rfind(|read| read.request_id == call.request_id);
        let ours = ours.with_context(|| format!("nobody counted the rows of {}", call.tool))?;
        let seen = || format!("nobody saw the token of {} fire", call.tool);
        let after_cancel = ours.after_cancel.with_context(seen)?;
        Ok(Self { call, sent_at, rows: ours.rows, after_cancel })
    }

    /// From the cancel to the end of the work. Both times are of one machine's clock.
    fn took_ms(&self) -> f64 {
        let ended = self.call.ended_at.unwrap_or_else(Utc::now);
        (ended - self.sent_at).as_seconds_f64() * 1e3
    }
}

/// Cancels a call that has done a pass. It must stop.
async fn cancel_at_work(
    client: &Client,
    tool: &'static str,
    arguments: Value,
) -> anyhow::Result<Stop> {
    let handle = client.at_work(tool, arguments).await?;
    let id = handle.id.clone();
    let sent_at = Utc::now();
    handle.cancel(Some("enough of it".to_owned())).await?;
    // The work that is left would take minutes. A server that has not stopped in ten seconds
    // will not.
    let call = client.ask_by_id(&id).await?;
    ensure!(
        call.state == State::Cancelled,
        "{tool} did not stop when it was cancelled: {}",
        outcome(&call)
    );
    Stop::new(client, call, sent_at).await
}

/// Returns when the server says that the call has ended, as each call of `ignores` does some day.
async fn until_ended(client: &Client, id: &RequestId) -> anyhow::Result<CallRecord> {
    loop {
        let call = client.ask_by_id(id).await?;
        if call.state != State::Running {
            return Ok(call);
        }
    }
}

async fn rows_read(client: &Client) -> anyhow::Result<RowsRead> {
    let result = client.call("rows", Value::Null).await?;
    Ok(serde_json::from_value(result.structured_content.unwrap_or_default())?)
}

//! Lesson 5: a server cannot kill a tool, the tool must look.
//!
//! A cancel is a request. Whether the work stops, and how soon, is decided by how the tool is
//! written. The four tools in `tools.rs` do the same work in four ways; this story cancels each,
//! measures when it really stopped, and looks at what it left behind.

pub mod group;
pub mod measure;
pub mod sort;
pub mod tools;
pub mod work;

use anyhow::{Context, bail, ensure};
use course::lesson::{Lesson, Protocol, Transport};
use course::narrate::{outcome, timeline};
use course::stage::Stage;
use serde_json::{Value, json};
use shared::calls::State;
use shared::client::{Client, PROMPT};
use shared::layer::Server;
use tokio::time::{Duration, Instant};

use measure::{ask, at_work, cancel_at_work, ms, said, until_ended};
use tools::{EVERY, Leftovers, THREADS};
use work::Digest;

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
};

/// How soon `polls` must stop, and how much processor time its looking may cost.
const SOON: Duration = Duration::from_millis(50);
const CHEAP: f64 = 0.05;

/// The lesson. Read it from top to bottom, with `tools.rs` beside it.
pub async fn story(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.connect().await?;
    // How many passes over the file keep a thread busy for a good second and a half here?
    let four: Digest = ask(&client, "polls", json!({ "passes": 4, "every": 0 })).await?;
    let cpu_us = four.cpu_us.context("polls measures its processor time")?;
    let long = json!({ "passes": 4 * 1_600_000 / cpu_us.max(1) + 1 });

    four_ways(&client, &long).await?;
    how_often(&client).await?;
    a_pool(&client, &long).await?;
    client.close().await
}

/// The same work in four tools, cancelled.
async fn four_ways(client: &Client, long: &Value) -> anyhow::Result<()> {
    println!("   tool       stopped after   passes since   left behind");
    let mut rows = Vec::new();
    for tool in ["awaits", "polls", "spawns"] {
        // A thousand passes take a minute. The call ends in milliseconds, or the test fails.
        let stop = cancel_at_work(client, tool, json!({ "passes": 1000 })).await?;
        ensure!(
            stop.call.state == State::Cancelled,
            "{tool} did not stop when it was cancelled: it is {}",
            outcome(&stop.call)
        );
        let left: Leftovers = ask(client, "leftovers", Value::Null).await?;
        let (took, since) = (ms(stop.took()), stop.passes_since());
        println!("   {tool:8} {took:10.1} ms {since:14}   {}", said(&left));
        ensure!(left == Leftovers::default(), "{tool} has stopped, and leaves {}", said(&left));
        rows.push(stop);
    }

    // Killing the child is not enough: what it has started lives on, and nobody owns it.
    cancel_at_work(client, "spawns_carelessly", json!({ "passes": 1000 })).await?;
    let left: Leftovers = ask(client, "leftovers", Value::Null).await?;
    println!("   spawns, if only its child is killed:       {}", said(&left));
    ensure!(!left.live_groups.is_empty(), "spawns_carelessly left nothing behind");
    client.call("sweep", Value::Null).await?;

    // And the one that never looks. All a server can do is not to lie about it.
    let mut stop = cancel_at_work(client, "ignores", long.clone()).await?;
    ensure!(stop.call.state == State::Running, "ignores has stopped: {}", outcome(&stop.call));
    let left: Leftovers = ask(client, "leftovers", Value::Null).await?;
    ensure!(
        left.not_stopping == [stop.call.request_id.clone()],
        "the server hides that ignores goes on"
    );
    stop.call = until_ended(client, &stop.call.request_id).await?;
    let (took, since) = (ms(stop.took()), stop.passes_since());
    println!("   ignores  {took:10.1} ms {since:14}   until then {}", said(&left));
    rows.push(stop);

    let cancels: Vec<_> =
        rows.iter().map(|row| (row.call.request_id.clone(), row.sent_at)).collect();
    let calls: Vec<_> = rows.into_iter().map(|row| row.call).collect();
    print!("\n{}\n", timeline(&calls, &cancels));
    Ok(())
}

/// How often should a loop look? Each look costs a little, each row without one delays the stop.
async fn how_often(client: &Client) -> anyhow::Result<()> {
    const RARELY: u64 = 1_000_000;
    const NEVER: u64 = 0;
    println!("   polls looks every   costs     stops after");
    // In turns, so that a slow moment of this machine hits all alike. The best of five counts.
    let mut best = [(1, u64::MAX), (EVERY, u64::MAX), (RARELY, u64::MAX), (NEVER, u64::MAX)];
    for _ in 0..5 {
        for (every, cpu) in &mut best {
            let arguments = json!({ "passes": 2, "every": *every });
            let digest: Digest = ask(client, "polls", arguments).await?;
            *cpu = (*cpu).min(digest.cpu_us.context("polls measures its processor time")?);
        }
    }
    let never = best[3].1 as f64;
    let mut measured = Vec::new();
    for (every, cpu) in &best[..3] {
        let mut took = Duration::MAX;
        for _ in 0..5 {
            let passes = json!({ "passes": 1000, "every": every });
            let mut stop = cancel_at_work(client, "polls", passes).await?;
            stop.call = until_ended(client, &stop.call.request_id).await?;
            took = took.min(stop.took());
        }
        let cost = *cpu as f64 / never - 1.0;
        println!("   {every:>8} rows   {:+5.1} %   {:9.1} ms", cost * 100.0, ms(took));
        measured.push((cost, took));
    }
    println!("      never          0.0 %          never\n");
    let ((cost, soon), (_, late)) = (measured[1], measured[2]);
    ensure!(soon < SOON, "looking every {EVERY} rows, polls took {soon:?} to stop");
    ensure!(cost < CHEAP, "looking every {EVERY} rows costs {:.1} % of the time", cost * 100.0);
    ensure!(late > SOON, "looking every {RARELY} rows did not delay the stop");
    Ok(())
}

/// Tools that do not stop need a bound on what they can take from the others.
async fn a_pool(client: &Client, long: &Value) -> anyhow::Result<()> {
    println!(
        "   ignores, {THREADS} times, cancelled; the server has {THREADS} threads for such work"
    );
    let mut stubborn = Vec::new();
    for _ in 0..THREADS {
        stubborn.push(at_work(client, "ignores", long.clone()).await?);
    }
    let mut ids = Vec::new();
    for (handle, call) in stubborn {
        handle.cancel(None).await?;
        ids.push(call.request_id);
    }
    let told = Instant::now();
    while ask::<Leftovers>(client, "leftovers", Value::Null).await?.not_stopping.len() < THREADS {
        ensure!(told.elapsed() < PROMPT, "the server hides how many threads do not stop");
    }
    match client.call("polls", json!({ "passes": 1 })).await {
        Err(error) => println!("   next caller:  {error:#}"),
        Ok(_) => bail!("no limit: more threads are at work than there should be"),
    }
    let other = client.call("awaits", json!({ "passes": 1 })).await;
    other.context("a tool that needs no thread was not served")?;
    println!("   meanwhile:    awaits is served");
    for id in &ids {
        until_ended(client, id).await?;
    }
    let left: Leftovers = ask(client, "leftovers", Value::Null).await?;
    ensure!(left == Leftovers::default(), "when all is done the server still has {}", said(&left));
    println!("   in the end:   {}", said(&left));
    Ok(())
}

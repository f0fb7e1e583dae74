//! Lesson 11: a cancel that travels.
//!
//! A user stops an agent. Below the agent are our server, a database process, a query, and a
//! stream of somebody else's service. MCP cancels one request between one client and one server,
//! so each hop must pass the cancel on. This story stops the top, and asks the bottom.
//!
//! `caller.rs` hands a cancel on, `server.rs` is the hop in the middle, `database.rs` the last.

mod agent;
mod caller;
pub mod chain;
pub mod database;
pub mod server;
pub mod service;

use anyhow::{Context, bail, ensure};
use chrono::Utc;
use course::lesson::{Lesson, Protocol, Transport};
use course::narrate::outcome;
use course::stage::Stage;
use hosting::layer::Server;
use serde_json::{Value, json};
use shared::calls::State;
use tokio_util::sync::CancellationToken;

use caller::Caller;
use chain::{Chain, picture};
use database::Status;

/// Lesson 11.
pub const LESSON: Lesson = Lesson {
    number: 11,
    name: "propagate",
    title: "One cancel at the top stops everything below",
    transports: &[Transport::Http, Transport::Stdio],
    protocols: &[Protocol::V2025, Protocol::V2026],
    server: |setup| Ok(Server::new(server::ReportServer::new(setup, std::env::current_exe()?)?)),
    story: |stage| Box::pin(story(stage)),
    chapters: &[],
    exercise: None,
};

/// More than any call here gets done.
const FOREVER: u32 = database::MAX_ROWS;
const ROUNDS: usize = 50;

/// The lesson. Read it from top to bottom.
pub async fn story(stage: &Stage) -> anyhow::Result<()> {
    let chain = Chain::of(stage).await?;
    parts(&chain).await?;
    chain.client.close().await
}

/// Its five parts.
pub async fn parts(chain: &Chain) -> anyhow::Result<()> {
    one_cancel(chain).await?;
    fifty(chain).await?;
    siblings(chain).await?;
    forgotten(chain).await?;
    shielded(chain).await
}

/// 1. The user stops the agent in the second step of three.
pub async fn one_cancel(chain: &Chain) -> anyhow::Result<()> {
    println!("🤖 an agent works through its plan");
    let (url, endless) = (chain.url("lines/3"), chain.url(&format!("lines/{FOREVER}")));
    let plan = [
        ("look at last week", "research", json!({ "rows": 3, "url": url })),
        ("look at last year", "research", json!({ "rows": FOREVER, "url": endless })),
        ("publish the report", "publish", json!({ "rows": 5 })),
    ];
    let user = Caller::first(CancellationToken::new());
    let before = chain.look("").await?;
    let stop = async {
        // Not before the second step is at work at the very bottom: it has no other stream with
        // a query beside it for so long.
        let second = |at: &Status| {
            let new = at.rows_read > before.rows_read + 3;
            new && at.is_busy() && chain.service.open() == 1
        };
        let seen = chain.until_at_work("the query is at work", second).await;
        // Before the cancel: no hop stops earlier than this. Stop in any case: otherwise the agent
        // would work on to the end of its plan.
        let now = Utc::now();
        user.stop.cancel();
        seen.map(|_| now)
    };
    let (outcomes, stopped_at) = tokio::join!(agent::run(plan, &chain.client, &user), stop);
    let (stopped_at, outcomes) = (stopped_at?, outcomes?);
    let expected = ["3 lines fetched, 3 rows read", "stopped", "not begun"];
    ensure!(outcomes == expected, "the agent should stop in its second step: {outcomes:?}");

    // The agent's own wait is over, which proves nothing. Ask the bottom.
    chain.until_quiet().await.context("the cancel did not reach the bottom")?;
    let notes = chain.notes(&user, stopped_at).await?;
    println!("🛑 the user stops it. What the hops noted under one trace id: {}", user.trace);
    print!("{}", picture(&notes, stopped_at)?);
    let status = chain.look("").await?;
    let published = status.published - before.published;
    ensure!(published == 0, "the agent went on: {published} rows are published");
    Ok(())
}

/// 2. The same many times, because one time proves little. Nothing may be left.
async fn fifty(chain: &Chain) -> anyhow::Result<()> {
    let before = chain.look("").await?;
    let mut slowest = chrono::TimeDelta::zero();
    for _ in 0..ROUNDS {
        let user = Caller::first(CancellationToken::new());
        let stopped = chain.start_and_stop("research", &user).await?;
        chain.until_quiet().await.context("one of fifty cancels did not reach the bottom")?;
        let last = chain.notes(&user, stopped).await?.iter().map(|note| note.at).max();
        slowest = slowest.max(last.unwrap_or(stopped) - stopped);
    }
    let after = chain.look("").await?;
    ensure!(after.pid == before.pid, "the database process was replaced");
    let slowest = slowest.as_seconds_f64() * 1e3;
    println!("🔁 {ROUNDS} times: 0 queries, 0 streams left; the slowest took {slowest:.1} ms");
    println!("   database process {}, one and the same", after.pid);
    Ok(())
}

/// 3. Nobody cancels, but one branch fails. Then its sibling works for nothing.
pub async fn siblings(chain: &Chain) -> anyhow::Result<()> {
    let arguments = json!({ "rows": FOREVER, "url": chain.url("nothing/here") });
    let Err(error) = chain.client.call("research", arguments).await else {
        bail!("research succeeded, although the service has nothing to fetch");
    };
    let complaint = error.root_cause().to_string();
    ensure!(complaint.contains("404"), "research failed for another reason: {complaint}");
    // The sibling was told when the other failed. Nobody confirms a cancel, so ask until it ends.
    chain.until_quiet().await.context("one branch failed, and its sibling ran on")?;
    println!("👯 one branch fails, its sibling is stopped: 0 queries at work");
    Ok(())
}

/// 4. A hop that forgets. Its list of calls says "cancelled", and the work goes on.
pub async fn forgotten(chain: &Chain) -> anyhow::Result<()> {
    let user = Caller::first(CancellationToken::new());
    let before = chain.client.newest("research_carelessly").await?;
    chain.start_and_stop("research_carelessly", &user).await?;
    let number = chain.client.newest("research_carelessly").await?;
    ensure!(number > before, "the server does not list the call that it ran");
    let record = chain.client.ask_until_ended(number).await?;
    ensure!(record.state == State::Cancelled, "research_carelessly {}", outcome(&record));
    let at_cancel = chain.look("").await?.rows_read;
    let goes_on = chain.until("the forgotten query goes on", |at| at.rows_read > at_cancel + 5);
    let still = goes_on.await.context("research_carelessly passed the cancel on")?;
    println!("🙈 a hop forgets: its list says \"{}\"", outcome(&record));
    println!("   database: {} query at work, rows are read on", still.queries);
    chain.client.call("sweep", Value::Null).await?;
    chain.until_quiet().await
}

/// 5. A step that must not be cut: cancelled in its middle, it still does all or nothing.
pub async fn shielded(chain: &Chain) -> anyhow::Result<()> {
    const ROWS: u32 = 10;
    let user = Caller::first(CancellationToken::new());
    let before = chain.look("").await?.published;
    let publish = user.call(&chain.client, "publish", json!({ "rows": ROWS }));
    let stop = async {
        let seen = chain.until_at_work("the commit is at work", |at| at.commits > 0).await;
        user.stop.cancel();
        seen
    };
    let (answer, seen) = tokio::join!(publish, stop);
    seen?;
    ensure!(answer?.is_none(), "the commit was faster than its cancel");
    let number = chain.client.newest("publish").await?;
    let record = chain.client.ask_until_ended(number).await?;
    let published = chain.look("").await?.published - before;
    ensure!(
        published == u64::from(ROWS),
        "the commit was cut in the middle: {published} of {ROWS} rows are published"
    );
    ensure!(
        record.state == State::Finished,
        "the rows are published, but the list of calls says: {}",
        outcome(&record)
    );
    println!("🔒 a commit, cancelled in its middle: {published} of {ROWS} rows");
    println!("   the caller: cancelled; the server: {}", outcome(&record));
    Ok(())
}

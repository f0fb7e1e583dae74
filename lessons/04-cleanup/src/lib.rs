//! Lesson 4: what a cancelled tool must give back.
//!
//! To stop is half of a cancellation. The other half is what the tool held: a permit of a
//! bounded pool, a half-written file, a lease in a database. The three exports in `tools.rs` all
//! stop at once. This story asks the server what each of them has left behind.

#[path = "../exercise/check.rs"]
pub mod check;
mod exercise;
pub mod resources;
pub mod tools;

use anyhow::{bail, ensure};
use chrono::{DateTime, Utc};
use course::lesson::{Lesson, Protocol, Transport};
use course::narrate::{outcome, timeline};
use course::stage::Stage;
use hosting::layer::Server;
use rmcp::RoleClient;
use rmcp::model::RequestId;
use rmcp::service::RequestHandle;
use serde_json::{Value, json};
use shared::calls::{CallRecord, State};
use shared::client::Client;

use resources::{Inventory, PERMITS};

/// Lesson 4.
pub const LESSON: Lesson = Lesson {
    number: 4,
    name: "cleanup",
    title: "What a cancelled tool must give back",
    transports: &[Transport::Http, Transport::Stdio],
    protocols: &[Protocol::V2025, Protocol::V2026],
    server: |setup| Ok(Server::new(tools::ExportServer::new(setup)?)),
    story: |stage| Box::pin(story(stage)),
    chapters: &[],
    exercise: Some(&check::EXERCISE),
};

/// The lesson. Read it from top to bottom, with `tools.rs` beside it.
pub async fn story(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.connect().await?;
    let mut rows = Vec::new();
    let nothing = inventory(&client).await?;
    ensure!(
        nothing == Inventory { permits_free: PERMITS, ..Inventory::default() },
        "the server is not fresh, start a new one: {}",
        in_words(&nothing)
    );

    // 1. The good tool. While it works it holds a permit and a temporary file, and `report.csv`
    //    does not exist. After the cancel it holds nothing.
    println!("🧹 export");
    rows.push(cancelled_gives_back(&client, "export", 0, &nothing).await?);

    //    If it is left alone, the report is there, whole, and nothing else.
    client.call("export", json!({ "report": "report" })).await?;
    let finished = inventory(&client).await?;
    println!("   finished:      {}", in_words(&finished));
    let expected = Inventory { finished: vec!["report.csv".to_owned()], ..nothing.clone() };
    ensure!(
        finished == expected,
        "export did not leave its report and nothing else, but {}",
        in_words(&finished)
    );
    client.call("repair", Value::Null).await?;

    // 2. The leak. Each cancelled call keeps what it held, and nothing looks wrong.
    println!("💧 export_leaky, cancelled {PERMITS} times");
    for _ in 0..PERMITS {
        let handle = client.at_work("export_leaky", long_export()).await?;
        let (call, _) = cancel(&client, handle).await?;
        ensure!(call.state == State::Cancelled, "export_leaky {}", outcome(&call));
    }
    let held = inventory(&client).await?;
    println!("   cancelled:     {}", in_words(&held));
    ensure!(
        (held.permits_free, held.unfinished.len()) == (0, PERMITS),
        "the leak did not show: after {PERMITS} cancelled calls the server holds {}",
        in_words(&held)
    );
    //    The next caller pays, even if it calls the good tool.
    match client.call("export", json!({ "report": "innocent" })).await {
        Err(error) => println!("   next caller:   {error:#}"),
        Ok(_) => bail!("the leak had no consequence: another export was served"),
    }
    client.call("repair", Value::Null).await?;

    // 3. What `Drop` cannot give back. A lease is a row in a database, and deleting it takes an
    //    `.await`. The tool does that itself, after it has been told of the cancel.
    println!("🔑 export_leased");
    rows.push(cancelled_gives_back(&client, "export_leased", 1, &nothing).await?);

    let (calls, cancels): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    print!("\n{}", timeline(&calls, &cancels));
    client.close().await
}

/// A call for the timeline, and when its cancel was sent.
type Row = (CallRecord, (RequestId, DateTime<Utc>));

/// Cancels an export while it holds what it should. Afterwards it must hold nothing.
async fn cancelled_gives_back(
    client: &Client,
    tool: &'static str,
    leases: usize,
    nothing: &Inventory,
) -> anyhow::Result<Row> {
    let handle = client.at_work(tool, long_export()).await?;
    let held = inventory(client).await?;
    println!("   at work:       {}", in_words(&held));
    ensure!(held.finished.is_empty(), "{tool} shows a half-written report under its name");
    ensure!(
        (held.permits_free, held.unfinished.len(), held.leases.len()) == (PERMITS - 1, 1, leases),
        "{tool} does not hold what it should while it works, but {}",
        in_words(&held)
    );
    let row = cancel(client, handle).await?;
    let held = inventory(client).await?;
    println!("   cancelled:     {}", in_words(&held));
    ensure!(held == *nothing, "{tool} leaks: cancelled, the server holds {}", in_words(&held));
    ensure!(row.0.state == State::Cancelled, "{tool} was not cancelled: {}", outcome(&row.0));
    Ok(row)
}

/// The arguments of an export that is there to be cancelled.
fn long_export() -> Value {
    json!({ "report": "report", "steps": 1000 })
}

/// Cancels an export, and waits until the server says that it has stopped.
async fn cancel(client: &Client, handle: RequestHandle<RoleClient>) -> anyhow::Result<Row> {
    let (id, sent_at) = (handle.id.clone(), Utc::now());
    handle.cancel(Some("enough of it".to_owned())).await?;
    let call = client.ask_by_id(&id).await?;
    ensure!(
        call.state != State::Running,
        "{} did not stop when it was cancelled: {}",
        call.tool,
        outcome(&call)
    );
    Ok((call, (id, sent_at)))
}

async fn inventory(client: &Client) -> anyhow::Result<Inventory> {
    let result = client.call("inventory", Value::Null).await?;
    Ok(serde_json::from_value(result.structured_content.unwrap_or_default())?)
}

/// An inventory in one line.
fn in_words(held: &Inventory) -> String {
    format!(
        "{} of {PERMITS} permits free; files: {} unfinished, {} finished; leases: {}",
        held.permits_free,
        held.unfinished.len(),
        held.finished.len(),
        held.leases.len()
    )
}

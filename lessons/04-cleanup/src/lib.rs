//! Lesson 4: what a cancelled tool must give back.
//!
//! To stop is half of a cancellation. The other half is what the tool held: a permit of a
//! bounded pool, a half-written file, a lease in a database. The three exports in
//! `tools.rs` all stop at once; this story shows what each of them leaves behind.

pub mod resources;
pub mod tools;

use anyhow::{bail, ensure};
use chrono::Utc;
use course::lesson::{Lesson, Protocol, Transport};
use course::narrate::{outcome, timeline};
use course::stage::Stage;
use rmcp::RoleClient;
use rmcp::service::RequestHandle;
use serde_json::{Value, json};
use shared::calls::{CallRecord, State};
use shared::client::{Client, patient, tool_call};
use shared::layer::Server;

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
};

const ROUNDS: u32 = 50;

/// The lesson. Read it from top to bottom, with `tools.rs` beside it.
pub async fn story(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.connect().await?;
    // `Drop` can close, unlock and remove. It cannot `.await`, so it cannot delete a row in a
    // database: the second of the good tools holds a lease too, the first does not.
    let leases_of = |tool| usize::from(tool == "export_async");
    let mut rows = Vec::new();

    // 1. The leak. Each cancelled call keeps what it held, and nothing looks wrong.
    println!("💧 export_leaky, cancelled {PERMITS} times; each time it stops at once");
    for round in 0..PERMITS {
        rows = vec![cancel_while_working(&client, "export_leaky", &format!("leak-{round}")).await?];
    }
    let held = inventory(&client).await?;
    println!("   server holds: {}", said(&held));
    ensure!(
        (held.permits_free, held.files.len(), held.leases.len()) == (0, PERMITS, PERMITS),
        "the leak did not show: after {PERMITS} cancelled calls the server holds {}",
        said(&held)
    );
    //    The next caller pays, and it is not even a caller of the tool that leaks.
    match client.call("export_raii", json!({ "report": "innocent" })).await {
        Err(error) => println!("   next caller:  {error:#}"),
        Ok(_) => bail!("the leak had no consequence: another export was served"),
    }
    client.call("repair", Value::Null).await?;

    for tool in ["export_raii", "export_async"] {
        // 2. A call that is left alone. While it works, it holds all it needs, and the report
        //    is not to be seen under its name. When it is done, the report is there, whole.
        println!("🧹 {tool}");
        let (handle, _) = start(&client, tool, "report", 1.0).await?;
        let held = inventory(&client).await?;
        println!("   at work:      {}", said(&held));
        let [(unfinished, some)] = &held.files[..] else { bail!("{tool} writes {:?}", held.files) };
        ensure!(unfinished != "report.csv", "{tool} shows a half-written report to everybody");
        ensure!(
            (held.permits_free, held.leases.len()) == (PERMITS - 1, leases_of(tool)),
            "{tool} does not hold what it should while it works: {}",
            said(&held)
        );
        let id = handle.id.clone();
        handle.await_response().await?;
        let finished = inventory(&client).await?;
        println!("   finished:     {}", said(&finished));
        ensure!(
            matches!(&finished.files[..], [(name, all)] if name == "report.csv" && all > some),
            "{tool} did not leave its report, whole, but {:?}",
            finished.files
        );
        rows.push((client.ask_by_id(&id).await?, None));

        // 3. The same call, cancelled, again and again. All is as it was before.
        for round in 1..=ROUNDS {
            let row = cancel_while_working(&client, tool, &format!("gone-{round}")).await?;
            let held = inventory(&client).await?;
            ensure!(
                held == finished,
                "{tool} leaks: after {round} cancelled calls the server holds {}",
                said(&held)
            );
            if round == ROUNDS {
                println!("   {ROUNDS} cancelled: {}", said(&held));
                rows.push(row);
            }
        }
        client.call("repair", Value::Null).await?;
    }

    let (calls, cancels): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let cancels: Vec<_> = cancels.into_iter().flatten().collect();
    print!("\n{}", timeline(&calls, &cancels));
    client.close().await
}

/// A call, the moment its cancel was sent (if it was), for the timeline.
type Row = (CallRecord, Option<(rmcp::model::RequestId, chrono::DateTime<Utc>)>);

/// Starts an export, cancels it while it holds everything, and waits until it has stopped.
async fn cancel_while_working(
    client: &Client,
    tool: &'static str,
    report: &str,
) -> anyhow::Result<Row> {
    let (handle, id) = start(client, tool, report, 0.0).await?;
    let sent_at = Utc::now();
    handle.cancel(Some("enough of it".to_owned())).await?;
    let call = client.ask_by_id(&id).await?;
    ensure!(
        call.state == State::Cancelled,
        "{tool} did not stop when it was cancelled: it is {}",
        outcome(&call)
    );
    Ok((call, Some((id, sent_at))))
}

/// Starts an export and returns when it reports that step.
async fn start(
    client: &Client,
    tool: &'static str,
    report: &str,
    step: f64,
) -> anyhow::Result<(RequestHandle<RoleClient>, rmcp::model::RequestId)> {
    let mut progress = client.progress();
    let call = tool_call(tool, json!({ "report": report }));
    let mut handle = client.send_cancellable_request(call, patient()).await?;
    loop {
        tokio::select! {
            news = progress.next_of(&handle.progress_token) => if news?.progress >= step { break },
            answer = &mut handle.rx => bail!("{tool} ended before it was at work: {answer:?}"),
        }
    }
    let id = handle.id.clone();
    Ok((handle, id))
}

async fn inventory(client: &Client) -> anyhow::Result<Inventory> {
    let result = client.call("inventory", Value::Null).await?;
    Ok(serde_json::from_value(result.structured_content.unwrap_or_default())?)
}

/// An inventory in one line.
fn said(held: &Inventory) -> String {
    let Inventory { permits_free, permits_total, files, leases } = held;
    let unfinished = files.iter().filter(|(name, _)| name.contains(".tmp")).count();
    format!(
        "permits {permits_free}/{permits_total} free, files {unfinished} unfinished {} finished, leases {}",
        files.len() - unfinished,
        leases.len()
    )
}

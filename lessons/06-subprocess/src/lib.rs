//! Lesson 6: a tool's child processes end with its call.
//!
//! A tool may leave its work to another program, and that may start more of them. Killing the
//! child is not enough. This story cancels a tool that cares for the whole group and one that
//! does not, kills a server while both work, and counts what the system's list of processes has.

#[path = "../exercise/check.rs"]
pub mod check;
mod exercise;
pub mod group;
pub mod sort;
pub mod table;
pub mod tools;

use std::collections::HashSet;

use anyhow::{Context, ensure};
use course::lesson::{Lesson, Protocol, Transport};
use course::narrate::outcome;
use course::stage::Stage;
use hosting::layer::Server;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use rmcp::RoleClient;
use rmcp::model::{ClientCapabilities, ProtocolVersion};
use rmcp::service::RequestHandle;
use serde_json::{Value, json};
use shared::calls::{CallRecord, State};
use shared::client::{Client, PATIENCE};
use tokio::time::{Duration, sleep, timeout};

use table::{Process, members};
use tools::Processes;

/// Lesson 6.
pub const LESSON: Lesson = Lesson {
    number: 6,
    name: "subprocess",
    title: "A tool's child processes end with its call",
    transports: &[Transport::Http, Transport::Stdio],
    protocols: &[Protocol::V2025, Protocol::V2026],
    server: |setup| Ok(Server::new(tools::SortServer::new(setup))),
    story: |stage| Box::pin(story(stage)),
    chapters: &[],
    exercise: Some(&check::EXERCISE),
};

/// The lesson. Read it from top to bottom, with `tools.rs` and `group.rs` beside it.
pub async fn story(stage: &Stage) -> anyhow::Result<()> {
    cancelled(stage).await?;
    killed(stage).await
}

/// Cancels both tools, and looks at what is left of their processes.
pub async fn cancelled(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.connect().await?;

    println!("👪 spawns: a shell starts a shell, and that sorts a file again and again");
    let handle = at_work(&client, "spawns").await?;
    println!("   at work:     {}", in_words(&processes(&client).await?.processes));
    cancel(&client, handle).await?;
    let left = processes(&client).await?.processes;
    println!("   cancelled:   {}", in_words(&left));
    ensure!(left.is_empty(), "spawns has stopped, and leaves {}", in_words(&left));

    println!("🧟 spawns_carelessly: the same, but it kills only the child that it has started");
    let handle = at_work(&client, "spawns_carelessly").await?;
    let call = cancel(&client, handle).await?;
    let left = processes(&client).await?.processes;
    println!("   the list:    {}", outcome(&call));
    println!("   in truth:    {}", in_words(&left));
    ensure!(alive(&left) > 0, "spawns_carelessly left nothing behind");
    client.call("sweep", Value::Null).await?;
    let left = processes(&client).await?.processes;
    println!("   swept:       {}", in_words(&left));
    ensure!(left.is_empty(), "sweep leaves {}", in_words(&left));
    client.close().await
}

/// Kills a server while both tools work. A client on stdio may do that: it is the last step of
/// its shutdown (basic/lifecycle). No line of the server runs any more then.
async fn killed(stage: &Stage) -> anyhow::Result<()> {
    println!("💀 a server of its own on stdio, killed while both work");
    // The server's children become ours. So nobody else waits for them, and their ids stay theirs.
    group::adopt();
    let serve = stage.program(&["serve", "--transport", "stdio"])?;
    let (nothing, version) = (ClientCapabilities::default(), ProtocolVersion::V_2025_11_25);
    let client = Client::child_as(nothing, serve, version).await?;
    let _good = at_work(&client, "spawns").await?;
    let good = groups(&processes(&client).await?);
    let _careless = at_work(&client, "spawns_carelessly").await?;
    let both = processes(&client).await?;
    let careless: HashSet<_> = groups(&both).difference(&good).copied().collect();
    ensure!((good.len(), careless.len()) == (1, 1), "not a group for each call: {both:?}");

    kill(Pid::from_raw(both.server.try_into()?), Signal::SIGKILL).context("no server to kill")?;
    let gone = timeout(PATIENCE, async {
        while !listed(&good)?.iter().all(|process| process.zombie) {
            sleep(Duration::from_millis(5)).await;
        }
        anyhow::Ok(())
    });
    let gone = gone.await;
    let left = listed(&careless)?;
    // What is left is swept up before anything is claimed.
    end_adopted(&good)?;
    end_adopted(&careless)?;
    ensure!(gone.is_ok(), "the watchdog of spawns did not end its group within {PATIENCE:?}");
    println!("   spawns:               no process lives on");
    println!("   spawns_carelessly:    {}", in_words(&left));
    ensure!(alive(&left) > 0, "the processes of spawns_carelessly did not outlive their server");
    let _ = client.close().await;
    Ok(())
}

/// Starts a call, and returns when the server says that it has done a pass.
async fn at_work(client: &Client, tool: &'static str) -> anyhow::Result<RequestHandle<RoleClient>> {
    client.at_work(tool, json!({ "passes": 1000 })).await
}

/// Cancels a call, and returns when the server says that it has stopped.
async fn cancel(client: &Client, handle: RequestHandle<RoleClient>) -> anyhow::Result<CallRecord> {
    let id = handle.id.clone();
    handle.cancel(Some("enough of it".to_owned())).await?;
    // The work that is left takes half a minute or more. A server that has not stopped in ten
    // seconds will not.
    let call = client.ask_by_id(&id).await?;
    ensure!(
        call.state == State::Cancelled,
        "{} did not stop when it was cancelled: {}",
        call.tool,
        outcome(&call)
    );
    Ok(call)
}

/// What the server says of the processes that its tools have started.
async fn processes(client: &Client) -> anyhow::Result<Processes> {
    let result = client.call("processes", Value::Null).await?;
    Ok(serde_json::from_value(result.structured_content.unwrap_or_default())?)
}

fn groups(processes: &Processes) -> HashSet<i32> {
    processes.processes.iter().map(|process| process.group).collect()
}

/// What this machine says of the processes of these groups.
fn listed(groups: &HashSet<i32>) -> anyhow::Result<Vec<Process>> {
    let listed: Result<Vec<_>, _> = groups.iter().map(|id| members(Pid::from_raw(*id))).collect();
    Ok(listed?.concat())
}

/// Kills groups that this process has adopted, and waits for all that was in them.
fn end_adopted(groups: &HashSet<i32>) -> anyhow::Result<()> {
    for group in groups {
        if !members(Pid::from_raw(*group))?.is_empty() {
            let _ = killpg(Pid::from_raw(*group), Signal::SIGKILL);
        }
        while waitpid(Pid::from_raw(-group), None::<WaitPidFlag>).is_ok() {}
    }
    Ok(())
}

fn alive(processes: &[Process]) -> usize {
    processes.iter().filter(|process| !process.zombie).count()
}

fn in_words(processes: &[Process]) -> String {
    let alive = alive(processes);
    format!("processes alive: {alive}, zombies: {}", processes.len() - alive)
}

//! The chapter `killed`: a client that ends without a word, and what its server makes of it.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use course::lesson::{Protocol, Transport};
use course::narrate::outcome;
use course::stage::Stage;
use rmcp::service::PeerRequestOptions;
use serde_json::json;
use shared::calls::{CallRecord, State};
use shared::client::{Client, PATIENCE, tool_call};
use shared::server::MAX_STEPS;
use tokio::time::{Instant, sleep};

use crate::program::Program;

/// A server that does fewer steps than this after the kill has noticed.
const NOTICED: u32 = 20;
/// How many steps a call takes whose end is waited for; more, if it was over too soon.
const FEW: u32 = 5;
/// Tells the victim how many steps its call is to take.
const STEPS: &str = "VICTIM_STEPS";

/// Kills a client at work. How its server learns of it depends on transport and revision.
pub(crate) async fn killed(stage: &Stage) -> anyhow::Result<()> {
    match (stage.transport, stage.protocol) {
        (Transport::Http, protocol) => over_http(stage, protocol).await,
        (Transport::Stdio, _) => on_stdio(stage).await,
    }
}

async fn over_http(stage: &Stage, protocol: Protocol) -> anyhow::Result<()> {
    // The witness: a client of another process, with a connection of its own.
    let witness = stage.connect().await?;
    let mut steps = if protocol == Protocol::V2026 { MAX_STEPS } else { FEW };
    let before = loop {
        let mut program = stage.program(&["victim", "--url", stage.url()?])?;
        let mut victim = Program::start(program.env(STEPS, steps.to_string()))?;
        victim.line_with("is at work").await?;
        // The witness has made no call of this tool, so the newest is the victim's.
        let before = witness.ask(witness.newest("process_large_file").await?).await?;
        victim.kill().await?;
        if before.state == State::Running {
            break before;
        }
        // A fast server, or a busy machine: once more, with more to do.
        ensure!(steps < MAX_STEPS, "a call of {steps} steps is over before its client is killed");
        steps = (steps * 4).min(MAX_STEPS);
    };
    println!("   kill -9 after step {}", before.steps_done);

    if protocol == Protocol::V2026 {
        // The kernel closes the dead process's sockets. The closed stream is the cancel.
        let after = until(&witness, before.call, before.steps_done + NOTICED).await?;
        ensure_noticed(&after, before.steps_done)?;
    } else {
        // The same sockets close. But here a client may come back for its answer
        // (`Last-Event-ID`), so a lost connection is no cancel: the work goes to its end.
        let left = before.steps_total.saturating_sub(before.steps_done);
        println!("   its call has {left} steps left; we wait for its end");
        let after = until(&witness, before.call, u32::MAX).await?;
        ensure!(
            after.state == State::Finished && after.steps_done == after.steps_total,
            "a lost connection is no cancel on HTTP 2025-11-25, but the call {}",
            outcome(&after)
        );
        println!("   the server says: {}, for nobody", outcome(&after));
    }
    witness.close().await
}

/// This client starts its server and holds both of its pipes, so no witness can ask. But with
/// `-v` a server on stdio writes to standard error what becomes of its calls.
async fn on_stdio(stage: &Stage) -> anyhow::Result<()> {
    let mut program = stage.program(&["victim", "-v"])?;
    let mut victim = Program::start(program.env(STEPS, MAX_STEPS.to_string()))?;
    victim.line_with("is at work").await?;
    victim.kill().await?;
    println!("   kill -9 before the first step; a server on stdio gives its calls up to 2 s");
    // The server's input ends, and nobody reads its output. It may give running calls a few
    // seconds to answer, then it cancels what is left. A server that does not notice works on.
    let started = format!("step {NOTICED} of");
    let news = victim.line_with_one_of(&["🛑 ", "✅ ", "❌ ", &started]).await;
    let news = news.context("the server did not notice that its client is gone")?;
    let told = news.rsplit("process_large_file ").next().unwrap_or_default();
    ensure!(
        !news.contains(&started),
        "the server did not notice that its client is gone: {NOTICED} steps later it works on"
    );
    ensure!(told.contains("cancelled"), "after the kill the call should be cancelled, but: {told}");
    println!("   the server's standard error says: {told}");
    Ok(())
}

/// The call was cancelled, and not much was done in vain.
fn ensure_noticed(call: &CallRecord, at_kill: u32) -> anyhow::Result<()> {
    ensure!(
        call.state == State::Cancelled && call.steps_done < at_kill + NOTICED,
        "the server did not notice that its client is gone: its call {}",
        outcome(call)
    );
    let in_vain = call.steps_done.saturating_sub(at_kill);
    println!("   the server says: {}, {in_vain} of them after the kill", outcome(call));
    Ok(())
}

/// Asks until the call has ended, or has done this many steps. Gives up when nothing happens.
async fn until(witness: &Client, call: u64, steps: u32) -> anyhow::Result<CallRecord> {
    let (mut done, mut since) = (0, Instant::now());
    loop {
        let call = witness.ask(call).await?;
        if call.state != State::Running || call.steps_done >= steps {
            return Ok(call);
        }
        if call.steps_done > done {
            (done, since) = (call.steps_done, Instant::now());
        }
        if since.elapsed() > 2 * PATIENCE {
            return Ok(call);
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// The victim: a client that starts a call, says so, and waits.
pub(crate) async fn victim(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.connect().await?;
    let mut progress = client.progress();
    let steps: u32 = std::env::var(STEPS).ok().and_then(|steps| steps.parse().ok()).unwrap_or(FEW);
    let arguments = json!({ "filename": "large_dataset.csv", "processing_time": steps });
    let call = tool_call("process_large_file", arguments);
    let handle = client.send_cancellable_request(call, PeerRequestOptions::no_options()).await?;
    progress.next_of(&handle.progress_token).await?;
    println!("📁 request {} is at work, {steps} steps; this client waits", handle.id);
    handle.await_response().await?;
    bail!("nobody has killed this client, and it got its answer")
}

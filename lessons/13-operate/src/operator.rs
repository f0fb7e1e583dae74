//! What an operator sees and does: the chapters `metrics` and `stop`.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use course::lesson::Transport;
use course::narrate::outcome;
use course::stage::Stage;
use reqwest::Method;
use rmcp::service::ServiceError;
use serde_json::{Value, json};
use shared::calls::State;
use shared::client::{PATIENCE, Patience, patient, tool_call, tool_result};
use shared::note::Cause;
use tokio::time::timeout;

use crate::start;

/// So many calls of each kind.
const EACH: u32 = 10;

/// Numbers by name and label, as Prometheus reads them.
type Numbers = BTreeMap<String, f64>;

/// Makes calls that finish, fail and are cancelled, and then compares what their callers know with
/// what `/metrics` says.
pub(crate) async fn metrics(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.connect().await?;
    let before = numbers(stage).await?;
    let running = |numbers: &Numbers| {
        let running = numbers.get("mcp_calls_running").copied();
        running.context("/metrics does not tell of mcp_calls_running")
    };
    let ran = running(&before)?;
    let mut finishing = Vec::new();
    for _ in 0..EACH {
        let call = json!({ "filename": "part_0.csv", "processing_time": 1 });
        let call = tool_call("process_large_file", call);
        finishing.push(client.send_cancellable_request(call, patient()).await?);
        ensure!(client.call("fail", Value::Null).await.is_err(), "the tool `fail` has not failed");
        start(&client, "process_large_file").await?.cancel(None).await?;
    }
    for call in finishing {
        tool_result(call.await_response().await?)?;
    }
    // A cancel is not answered here. So wait until the server says that nothing runs any more.
    let mut patience = Patience::of(stage.patience);
    let mut after = numbers(stage).await?;
    while running(&after)? > ran && patience.lasts().await {
        after = numbers(stage).await?;
    }
    let grown = |name: &str| after.get(name).unwrap_or(&0.0) - before.get(name).unwrap_or(&0.0);
    let running = running(&after)? - ran;
    ensure!(running <= 0.0, "{running} calls still run, though their callers have cancelled them");

    // One number for each cause: on 2026-07-28 a client over HTTP cancels by closing its stream.
    let cause = if stage.cancels_by_message() { Cause::Notification } else { Cause::Disconnect };
    let cancelled = format!("mcp_calls_cancelled_total{{cause=\"{}\"}}", cause.name());
    for (name, expected) in [
        ("mcp_calls_started_total", 3 * EACH),
        ("mcp_calls_finished_total", EACH),
        ("mcp_calls_failed_total", EACH),
        (&*cancelled, EACH),
        ("mcp_cancel_to_stop_seconds_count", EACH),
    ] {
        println!("   {name:48} +{}", grown(name));
        ensure!(
            (grown(name) - f64::from(expected)).abs() < f64::EPSILON,
            "/metrics does not count what the callers saw: {name} grew by {}, not by {expected}",
            grown(name)
        );
    }
    let mean = grown("mcp_cancel_to_stop_seconds_sum") / f64::from(EACH) * 1e3;
    println!("   from a cancel to its stop: {mean:.1} ms on average");
    client.close().await
}

/// Stops one of three calls from outside, as the button of the server's page does.
pub(crate) async fn stop(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.connect().await?;
    let before = start(&client, "process_large_file").await?;
    let call = start(&client, "process_large_file").await?;
    let number = client.newest("process_large_file").await?;
    let after = start(&client, "process_large_file").await?;
    println!("   3 calls run, and the operator stops call {number}");
    http(stage, Method::POST, &format!("/calls/{number}/stop")).await?;

    // 1. Its caller has cancelled nothing and waits: it is told.
    let told = timeout(stage.patience, call.await_response()).await;
    let told = told.with_context(|| format!("call {number} did not stop for the operator"))?;
    let by_operator = |error: &ServiceError| error.to_string().contains("stopped by the operator");
    ensure!(told.as_ref().is_err_and(by_operator), "the caller was not told why: {told:?}");
    println!("   its caller reads: stopped by the operator");

    // 2. The list says why it ended. A cause of its own: it was neither the client nor a timeout.
    let record = client.ask_until_ended(number).await?;
    ensure!(
        record.state == State::Cancelled,
        "call {number} was not stopped: {}",
        outcome(&record)
    );
    let cause = record.cause.map_or("unknown", Cause::name);
    ensure!(cause == "operator", "call {number} has the cause {cause}, and not operator");
    println!("   the list says: {}, cause {cause}", outcome(&record));

    // 3. The others have heard nothing of it.
    for (id, other) in [(&before.id, number - 1), (&after.id, number + 1)] {
        let other = client.ask(other).await?;
        ensure!(
            other.state == State::Running && other.request_id == *id,
            "the operator's stop hit another call too: {}",
            outcome(&other)
        );
    }
    println!("   the two others run on");
    before.cancel(None).await?;
    after.cancel(None).await?;
    client.close().await
}

async fn numbers(stage: &Stage) -> anyhow::Result<Numbers> {
    let page = http(stage, Method::GET, "/metrics").await?;
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let numbers = lines.filter_map(|line| {
        let (name, number) = line.rsplit_once(' ')?;
        Some((name.to_owned(), number.parse().ok()?))
    });
    Ok(numbers.collect())
}

/// Asks the server, beside its MCP endpoint.
async fn http(stage: &Stage, method: Method, path: &str) -> anyhow::Result<String> {
    ensure!(stage.transport == Transport::Http, "this chapter needs HTTP: leave out --transport");
    let url = stage.url()?.trim_end_matches('/').trim_end_matches("/mcp").to_owned() + path;
    // The page sends this header to show that it is no foreign page. A foreign one may not.
    let request = reqwest::Client::new().request(method, &url).header("x-csrf-protection", "1");
    let answer = timeout(PATIENCE, request.send()).await.context("the server says nothing")??;
    Ok(answer
        .error_for_status()
        .with_context(|| format!("this server has no {path}"))?
        .text()
        .await?)
}

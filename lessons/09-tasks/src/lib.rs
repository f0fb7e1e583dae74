//! Lesson 9: cancel work that outlives its request.
//!
//! On HTTP 2026-07-28 a lost connection cancels a request. Work that must survive that becomes a
//! task: the server answers the request at once, with a task id. Any connection that has the id
//! can look at the task, cancel it and fetch its result. The request has already been answered,
//! so `notifications/cancelled` has nothing to cancel. Use `tasks/cancel`.

#[path = "../exercise/check.rs"]
pub mod check;
mod exercise;
pub mod journal;
pub mod tools;

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Utc};
use course::lesson::{Lesson, Protocol, Transport};
use course::narrate::{outcome, timeline};
use course::stage::Stage;
use hosting::layer::Server;
use rmcp::model::{
    CancelTaskParams, CancelledNotificationParam, ClientCapabilities, DetailedTask, RequestId,
    ServerResult, TaskStatus,
};
use serde_json::{Value, json};
use shared::calls::{CallRecord, State};
use shared::client::{Client, PATIENCE, patient, text_of, tool_call, tool_result};
use shared::dataset::{LARGE, part};
use tasks_extension::client::{Started, look, pause, result_of, watch};
use tasks_extension::store::Limits;
use tokio::time::timeout;

/// Lesson 9.
pub const LESSON: Lesson = Lesson {
    number: 9,
    name: "tasks",
    title: "Cancel work that outlives its request",
    transports: &[Transport::Http, Transport::Stdio],
    protocols: &[Protocol::V2026],
    server: |setup| Ok(Server::new(tools::TaskServer::new(setup, Limits::default())?)),
    story: |stage| Box::pin(story(stage)),
    chapters: &[],
    exercise: Some(&check::EXERCISE),
};

/// How many steps the work may do between our last look at it and its end. Some are done before
/// the cancel arrives.
const GRACE: u32 = 3;

/// A call and its cancel, for the timeline.
type Row = (CallRecord, (RequestId, DateTime<Utc>));

/// The lesson. Read it from top to bottom.
pub async fn story(stage: &Stage) -> anyhow::Result<()> {
    let client = connect(stage).await?;
    let mut rows = vec![cancelled(&client).await?, completed(&client).await?];
    if stage.transport == Transport::Http {
        rows.push(reconnected(stage, client).await?);
    } else {
        // A stdio server is its client's child and goes with the connection. This one keeps its
        // tasks in memory, so they go too, and there is nothing to come back to.
        client.close().await?;
    }
    let (calls, cancels): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    print!("\n{}", timeline(&calls, &cancels));
    Ok(())
}

/// A client that says, with every request, that it can be answered with a task.
async fn connect(stage: &Stage) -> anyhow::Result<Client> {
    let declared = ClientCapabilities::builder().enable_tasks().build();
    stage.connect_as(declared, stage.protocol).await
}

/// Start, look, cancel, and ask the server whether it is true.
async fn cancelled(client: &Client) -> anyhow::Result<Row> {
    // 1. The request is answered before the work is done.
    println!("📁 process_large_file, 100 steps");
    let arguments = json!({ "filename": LARGE, "processing_time": 100 });
    let started = start(client, "process_large_file", arguments).await?;
    let (request, id) = (&started.request, &started.task.task_id);
    println!("   request {request} is over; look at its task every {:?}", pause(&started.task));
    println!("   task id: {id}");

    // 2. To look is to poll, as often as the server suggests. The work goes on.
    let (now, _) = watch(client, &started, 2).await?;
    show(&now);
    ensure!(is_at_work(&now), "the task did not outlive its request: it is {:?}", now.status());

    // 3. The wrong cancel. `notifications/cancelled` is for requests, and MUST NOT be used for a
    //    task. (On HTTP rmcp sends nothing: there is no stream left to close.) The server has read
    //    it when it answers our next question. If it obeys, the work does not do two more steps.
    println!("   (notifications/cancelled for request {request}; on HTTP rmcp sends nothing)");
    let wrong = CancelledNotificationParam::new(Some(request.clone()), None);
    client.notify_cancelled(wrong).await?;
    let done = client.ask(started.call).await?.steps_done;
    let (now, work) = watch(client, &started, done + 2).await?;
    show(&now);
    ensure!(is_at_work(&now), "notifications/cancelled for its request stopped the task");

    // 4. The cancel. It is acknowledged at once, and that is all the acknowledgement says.
    let sent_at = cancel(client, id).await?;
    println!("🛑 tasks/cancel: acknowledged");

    // 5. The task ends when its work has stopped. Whether it has, the server's list says.
    let (end, _) = watch(client, &started, work.steps_done + GRACE).await?;
    ensure!(
        !is_at_work(&end),
        "the server did not stop: {GRACE} steps after the cancel its task is still working"
    );
    let status = end.status();
    ensure!(status == TaskStatus::Cancelled, "the cancelled task ended otherwise: {status:?}");
    let call = client.ask_until_ended(started.call).await?;
    let said = outcome(&call);
    ensure!(call.state == State::Cancelled, "the task ended as cancelled, but its work is {said}");
    println!("   Cancelled; server: {said}");

    // 6. Once more: acknowledged too, and without effect. An end is final.
    cancel(client, id).await.context("the task has ended")?;
    let after = look(client, id).await?;
    ensure!(after == end, "a cancel changed a task that had ended: {end:?} became {after:?}");
    Ok((call, (started.request, sent_at)))
}

/// A cancel that the server hears and, rightly, does not obey.
async fn completed(client: &Client) -> anyhow::Result<Row> {
    println!("📁 post_to_journal: all rows or none");
    let (file, rows) = part(0);
    let mut tries = 0;
    let (before, started, now, seen) = loop {
        let before = rows_in_journal(client).await?;
        let started = start(client, "post_to_journal", json!({ "filename": file })).await?;
        let (now, _) = watch(client, &started, 1).await?;
        let seen = rows_in_journal(client).await? - before;
        // On a busy machine a posting may be over before we look. Then another one.
        if is_at_work(&now) && seen < rows {
            break (before, started, now, seen);
        }
        tries += 1;
        ensure!(tries < 3, "the posting was over before its cancel was sent");
    };
    show(&now);

    // 1. The tool writes, so it can no longer be stopped. Nobody sees half of its posting.
    ensure!(seen == 0, "half a posting is in the journal: {seen} of {rows} rows");

    // 2. To cancel is to ask. A journal with half a file in it is worse than one with the whole
    //    file: this tool can only finish. Then `completed` is the truth, and `cancelled` would
    //    tell the client that nothing has been posted.
    let sent_at = cancel(client, &started.task.task_id).await?;
    println!("🛑 tasks/cancel: acknowledged");
    // The result comes with the look that finds the task completed. No other call fetches it.
    let (end, _) = watch(client, &started, u32::MAX).await?;
    let result = result_of(end).context("a posting that has begun can only complete")?;
    println!("   Completed: {}", text_of(&result));

    // 3. That is the tool's word. The journal knows better.
    let posted = rows_in_journal(client).await? - before;
    ensure!(posted == rows, "the posting was cut: {posted} of {rows} rows are in the journal");
    println!("   the journal has {posted} rows more");
    let call = client.ask_until_ended(started.call).await?;
    Ok((call, (started.request, sent_at)))
}

/// The connection goes, the task stays, and a new connection cancels it.
async fn reconnected(stage: &Stage, client: Client) -> anyhow::Result<Row> {
    println!("📁 process_large_file, 100 steps, and the connection is closed");
    let arguments = json!({ "filename": LARGE, "processing_time": 100 });
    let started = start(&client, "process_large_file", arguments).await?;
    client.close().await?;
    let client = connect(stage).await?;
    let lost = "the task was lost with its connection";
    let (now, work) = watch(&client, &started, 2).await.context(lost)?;
    ensure!(is_at_work(&now), "{lost}: it is {:?}", now.status());
    let sent_at = cancel(&client, &started.task.task_id).await?;
    let (end, _) = watch(&client, &started, work.steps_done + GRACE).await?;
    let status = end.status();
    ensure!(status == TaskStatus::Cancelled, "the cancelled task ended otherwise: {status:?}");
    let call = client.ask_until_ended(started.call).await?;
    println!("   Cancelled; server: {}", outcome(&call));
    client.close().await?;
    Ok((call, (started.request, sent_at)))
}

/// Calls a tool. The answer is a task, at once, or the result, when the work is done: the server
/// decides, and a client that declares the extension must be ready for both. A result is an error
/// here.
pub async fn start(
    client: &Client,
    name: &'static str,
    arguments: Value,
) -> anyhow::Result<Started> {
    let before = client.newest(name).await?;
    let call = tool_call(name, arguments);
    let handle = client.send_cancellable_request(call, patient()).await?;
    let request = handle.id.clone();
    let answer = handle.await_response().await?;
    let ServerResult::CreateTaskResult(created) = answer else {
        bail!("answered with a result, not a task: {}", text_of(&tool_result(answer)?))
    };
    // The list has no task ids. The call that is new is ours, unless others make the same call.
    let mut calls = client.list_calls().await?;
    calls.retain(|call| call.tool == name && call.call > before);
    let new = calls.len();
    ensure!(new == 1, "new calls of {name} in the list: {new}, not 1; is another client at work?");
    Ok(Started { request, task: created.task, call: calls[0].call })
}

/// Cancels a task, and waits until the server has acknowledged that. Returns when it was sent.
pub async fn cancel(client: &Client, id: &str) -> anyhow::Result<DateTime<Utc>> {
    let sent_at = Utc::now();
    let answer = timeout(PATIENCE, client.cancel_task(CancelTaskParams::new(id))).await;
    answer.context("tasks/cancel gave no answer")?.context("the cancel was not acknowledged")?;
    Ok(sent_at)
}

fn is_at_work(task: &DetailedTask) -> bool {
    task.status() == TaskStatus::Working
}

/// Prints how a task stands.
fn show(task: &DetailedTask) {
    let message = task.task.status_message.as_deref().unwrap_or_default();
    println!("   {:?}: {message}", task.status());
}

/// How many rows the server's journal holds.
async fn rows_in_journal(client: &Client) -> anyhow::Result<u64> {
    let read = client.call("read_journal", json!({})).await?.structured_content;
    let rows = read.as_ref().and_then(|read| read["rows"].as_u64());
    rows.context("read_journal does not say how many rows there are")
}

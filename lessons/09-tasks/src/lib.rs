//! Lesson 9: cancel work that outlives its request.
//!
//! On HTTP 2026-07-28 a lost connection cancels a request. Work that must survive that becomes
//! a task: its request is answered at once, with a task id, and whoever has the id can look,
//! cancel and fetch the result, on any connection. Of the request nothing is left that could
//! be cancelled, so the cancel is a request of its own: `tasks/cancel`.

pub mod client;
mod edges;
pub mod store;
pub mod tools;
pub mod work;

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Utc};
use course::lesson::{Lesson, Protocol, Transport};
use course::narrate::{outcome, timeline};
use course::stage::Stage;
use rmcp::model::{CancelledNotificationParam, ClientCapabilities, RequestId, Task, TaskStatus};
use serde_json::json;
use shared::calls::{CallRecord, State};
use shared::client::{Client, PROMPT, text_of};
use shared::dataset::{LARGE, part};
use shared::layer::Server;
use tokio::time::{sleep, timeout};

use client::{
    TaskEnd, call_tool_as_task, cancel_task, get_task, get_task_result, suggested, watch_task,
};

/// Lesson 9.
pub const LESSON: Lesson = Lesson {
    number: 9,
    name: "tasks",
    title: "Cancel work that outlives its request",
    transports: &[Transport::Http, Transport::Stdio],
    protocols: &[Protocol::V2026],
    server: |setup| Ok(Server::new(tools::TaskServer::new(setup)?)),
    story: |stage| Box::pin(story(stage)),
    chapters: &[],
};

/// What a client says of itself, with every request, so that it can be answered with a task.
fn tasks_declared() -> ClientCapabilities {
    ClientCapabilities::builder().enable_tasks().build()
}

/// A call and its cancel, if one was sent, for the timeline.
type Row = (CallRecord, Option<(RequestId, DateTime<Utc>)>);

/// The lesson. Read it from top to bottom.
pub async fn story(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.connect_as(tasks_declared(), stage.protocol).await?;
    let mut rows = vec![
        cancelled(&client).await?,
        completed(&client).await?,
        completed_all_the_same(&client).await?,
        edges::panicked(&client).await?,
    ];
    edges::unknown(&client).await?;
    edges::without_tasks(stage).await?;
    if stage.transport == Transport::Http {
        rows.push(reconnected(stage, client).await?);
    } else {
        // A stdio server is its client's child and goes with the connection. This one keeps its
        // tasks in memory, so they go too, and there is nothing to come back to.
        client.close().await?;
    }
    let (calls, cancels): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let cancels: Vec<_> = cancels.into_iter().flatten().collect();
    print!("\n{}", timeline(&calls, &cancels));
    Ok(())
}

/// Start, look, cancel, and ask the server whether it is true.
async fn cancelled(client: &Client) -> anyhow::Result<Row> {
    // 1. The request is answered before the work is done.
    println!("📁 process_large_file, 20 steps");
    let call = json!({ "filename": LARGE, "processing_time": 20 });
    let (request, task) = call_tool_as_task(client, "process_large_file", call).await?.task()?;
    println!("   request {request} is over; look at its task every {:?}", suggested(&task));
    println!("   task id: {}", task.task_id);

    // 2. Looking is polling, as often as the server suggests. After two looks, the wrong cancel:
    //    `notifications/cancelled` is for requests, this one is over, and it MUST NOT be used for
    //    a task. (On HTTP nothing is even sent: there is no stream left to close.)
    for look in 1..=4 {
        sleep(suggested(&task)).await;
        let now = get_task(client, &task.task_id).await?.context("the server has lost the task")?;
        let (status, alive) = (now.status(), now.status() == TaskStatus::Working);
        println!("   {status:?}: {}", now.task.status_message.unwrap_or_default());
        ensure!(alive || look > 2, "the task did not outlive its request: it is {status:?}");
        ensure!(alive, "notifications/cancelled for its request stopped the task");
        if look == 2 {
            println!("   (notifications/cancelled for request {request}, which is over)");
            let cancel = CancelledNotificationParam::new(Some(request.clone()), None);
            client.notify_cancelled(cancel).await?;
        }
    }

    // 3. The cancel. It is acknowledged at once, and that is all the acknowledgement says.
    let sent_at = cancel(client, &task.task_id).await?;

    // 4. The task ends when its work has stopped. Whether that is true, the server's list says.
    let ending = get_task_result(client, &task.task_id);
    let Ok(end) = timeout(PROMPT + suggested(&task), ending).await else {
        bail!("the server did not stop: {PROMPT:?} after the cancel its task was still working")
    };
    let end = end?;
    ensure!(matches!(end, TaskEnd::Cancelled), "the cancelled task ended otherwise: {end:?}");
    let call = client.ask_by_id(&request).await?;
    let said = outcome(&call);
    ensure!(call.state == State::Cancelled, "the task ended as cancelled, but its work is {said}");
    println!("   Cancelled; server: {said}");
    cancel_in_vain(client, &task.task_id).await?;
    Ok((call, Some((request, sent_at))))
}

/// A task that nobody cancels. Its result comes with the look that finds it completed.
async fn completed(client: &Client) -> anyhow::Result<Row> {
    println!("📁 process_large_file, 2 steps, left alone");
    let (file, rows) = part(0);
    let call = json!({ "filename": file, "processing_time": 2 });
    let (request, task) = call_tool_as_task(client, "process_large_file", call).await?.task()?;
    let result = get_task_result(client, &task.task_id).await?.completed()?;
    println!("   Completed: {}", text_of(&result));
    let counted = result.structured_content.unwrap_or_default()["rows"].clone();
    ensure!(counted == rows, "the task's result is not the call's: {counted} of {rows} rows");
    cancel_in_vain(client, &task.task_id).await?;
    Ok((client.ask_by_id(&request).await?, None))
}

/// A cancel that is heard and, rightly, not obeyed.
async fn completed_all_the_same(client: &Client) -> anyhow::Result<Row> {
    println!("📁 post_to_journal: all rows or none");
    let (file, rows) = part(0);
    let call = json!({ "filename": file });
    let (request, task) = call_tool_as_task(client, "post_to_journal", call).await?.task()?;
    let at_work = |task: &Task| task.status_message.is_some();
    let now = watch_task(client, &task.task_id, at_work)
        .await?
        .context("the server has lost the task")?;
    println!("   {:?}: {}", now.status(), now.task.status_message.unwrap_or_default());
    let sent_at = cancel(client, &task.task_id).await?;
    // To cancel is to ask. The first rows are written, and a journal with half a file in it is
    // worse than one with the whole file: this tool can only finish. Then `completed` is the
    // truth; `cancelled` would tell the client that nothing has been posted.
    let result = get_task_result(client, &task.task_id).await?.completed();
    let result = result.context("a posting that has begun can only complete")?;
    println!("   Completed: {}", text_of(&result));
    let posted = result.structured_content.unwrap_or_default()["posted"].clone();
    ensure!(posted == rows, "the posting was cut: {posted} of {rows} rows are in the journal");
    let call = client.ask_by_id(&request).await?;
    ensure!(call.ended_at > Some(sent_at), "the posting was over before its cancel was sent");
    Ok((call, Some((request, sent_at))))
}

/// The connection goes, the task stays, and a new connection cancels it.
async fn reconnected(stage: &Stage, client: Client) -> anyhow::Result<Row> {
    println!("📁 process_large_file, 20 steps, and the connection is closed");
    let call = json!({ "filename": LARGE, "processing_time": 20 });
    let (request, task) = call_tool_as_task(&client, "process_large_file", call).await?.task()?;
    client.close().await?;
    sleep(2 * suggested(&task)).await;
    let client = stage.connect_as(tasks_declared(), stage.protocol).await?;
    let still_there = get_task(&client, &task.task_id).await?;
    ensure!(still_there.is_some(), "the task was lost with its connection");
    let sent_at = cancel(&client, &task.task_id).await?;
    let end = get_task_result(&client, &task.task_id).await?;
    ensure!(matches!(end, TaskEnd::Cancelled), "the cancelled task ended otherwise: {end:?}");
    let call = client.ask_by_id(&request).await?;
    println!("   Cancelled; server: {}", outcome(&call));
    client.close().await?;
    Ok((call, Some((request, sent_at))))
}

/// Cancels a task. Returns when that was sent, once it is acknowledged.
async fn cancel(client: &Client, id: &str) -> anyhow::Result<DateTime<Utc>> {
    let sent_at = Utc::now();
    let answer = cancel_task(client, id).await?;
    ensure!(answer.is_acknowledged(), "the cancel was not acknowledged: {answer:?}");
    println!("🛑 tasks/cancel: acknowledged");
    Ok(sent_at)
}

/// Cancels a task that has ended: acknowledged too, and without effect. An end is final.
async fn cancel_in_vain(client: &Client, id: &str) -> anyhow::Result<()> {
    let before = get_task(client, id).await?;
    let answer = cancel_task(client, id).await?;
    ensure!(
        answer.is_acknowledged(),
        "the cancel of a task that has ended was refused: {answer:?}"
    );
    let after = get_task(client, id).await?;
    ensure!(before == after, "a cancel changed a task that had ended: {before:?} became {after:?}");
    Ok(())
}

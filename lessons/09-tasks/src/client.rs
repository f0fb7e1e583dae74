//! What a client does with tasks: start one, look at it, cancel it.
//!
//! rmcp has the messages. The rest is the client's own business: rmcp's `call_tool` takes a task
//! for an unexpected response, and nothing polls.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Utc};
use rmcp::model::{
    CallToolResult, CancelTaskParams, DetailedTask, GetTaskParams, RequestId, ServerResult, Task,
    TaskPayload, TaskStatus,
};
use serde_json::Value;
use shared::calls::CallRecord;
use shared::client::{Client, PATIENCE, patient, text_of, tool_call};
use tokio::time::{sleep, timeout};

/// A task, and the request that started it.
#[derive(Debug)]
pub struct Started {
    /// The request. It is over.
    pub request: RequestId,
    /// The task, as it was when the request was answered.
    pub task: Task,
    /// The number of the work in the server's list of calls.
    pub call: u64,
}

/// Calls a tool. The answer is a task, at once, or the result, when the work is done: the server
/// decides, and a client that declares the extension must be ready for both. This one insists.
pub async fn start(
    client: &Client,
    name: &'static str,
    arguments: Value,
) -> anyhow::Result<Started> {
    let call = tool_call(name, arguments);
    let handle = client.send_cancellable_request(call, patient()).await?;
    let request = handle.id.clone();
    match handle.await_response().await? {
        ServerResult::CreateTaskResult(created) => {
            let call = client.newest(name).await?;
            Ok(Started { request, task: created.task, call })
        }
        ServerResult::CallToolResult(result) => {
            bail!("answered with a result, not a task: {}", text_of(&result))
        }
        other => bail!("{name} was answered with {other:?}"),
    }
}

/// Cancels a task. Returns when that was sent, once the server has acknowledged it.
pub async fn cancel(client: &Client, id: &str) -> anyhow::Result<DateTime<Utc>> {
    let sent_at = Utc::now();
    let answer = timeout(PATIENCE, client.cancel_task(CancelTaskParams::new(id))).await;
    answer.context("tasks/cancel gave no answer")?.context("the cancel was not acknowledged")?;
    Ok(sent_at)
}

/// Looks at a task once.
pub async fn look(client: &Client, id: &str) -> anyhow::Result<DetailedTask> {
    let answer = timeout(PATIENCE, client.get_task(GetTaskParams::new(id))).await;
    Ok(answer.context("tasks/get gave no answer")?.context("the server has lost the task")?.task)
}

/// Looks at a task, as often as the server suggests, until its work has done this many steps or
/// the task has ended. Gives up when nothing has changed for [`PATIENCE`]: what is counted are the
/// pauses, so a machine that stands still for a while proves nothing.
pub async fn watch(
    client: &Client,
    started: &Started,
    steps: u32,
) -> anyhow::Result<(DetailedTask, CallRecord)> {
    let pause = suggested(&started.task);
    let (mut last, mut waited) = (None, Duration::ZERO);
    loop {
        let task = look(client, &started.task.task_id).await?;
        let work = client.ask(started.call).await?;
        // A task may ask for input, to be given with `tasks/update`. In this lesson none does.
        if task.status() != TaskStatus::Working || work.steps_done >= steps {
            return Ok((task, work));
        }
        if last.as_ref() != Some(&work) {
            (last, waited) = (Some(work), Duration::ZERO);
        }
        ensure!(waited < PATIENCE, "the task has not changed for {PATIENCE:?}");
        sleep(pause).await;
        waited += pause;
    }
}

/// The result in a completed task. It is the one that the call would have had.
pub fn result_of(ended: DetailedTask) -> anyhow::Result<CallToolResult> {
    match ended.payload {
        TaskPayload::Completed { result } => Ok(serde_json::from_value(result.into())?),
        other => bail!("the task did not complete: {other:?}"),
    }
}

/// How long to wait before the next look. A server that suggests no time at all is not taken at
/// its word.
pub fn suggested(task: &Task) -> Duration {
    Duration::from_millis(task.poll_interval_ms.unwrap_or(1000).max(10))
}

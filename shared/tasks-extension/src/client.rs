//! How a client watches a task. rmcp has the messages, and nothing that polls.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rmcp::model::{
    CallToolResult, DetailedTask, GetTaskParams, RequestId, Task, TaskPayload, TaskStatus,
};
use shared::calls::CallRecord;
use shared::client::{Client, PATIENCE};
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

/// Looks at a task once.
pub async fn look(client: &Client, id: &str) -> anyhow::Result<DetailedTask> {
    let answer = timeout(PATIENCE, client.get_task(GetTaskParams::new(id))).await;
    Ok(answer.context("tasks/get gave no answer")?.context("the server has lost the task")?.task)
}

/// Looks at a task, as often as the server suggests, until its work has done this many steps or
/// the task has ended. Gives up when nothing has changed for [`PATIENCE`], and at least three looks.
/// What is counted are the pauses, so a machine that stands still for a while proves nothing.
pub async fn watch(
    client: &Client,
    started: &Started,
    steps: u32,
) -> anyhow::Result<(DetailedTask, CallRecord)> {
    let pause = suggested(&started.task);
    let patience = PATIENCE.max(3 * pause);
    let (mut last, mut waited) = (None, Duration::ZERO);
    loop {
        let task = look(client, &started.task.task_id).await?;
        let work = client.ask(started.call).await?;
        // One that asks for input (`tasks/update`) goes back to the caller, who knows the answer.
        if task.status() != TaskStatus::Working || work.steps_done >= steps {
            return Ok((task, work));
        }
        if last.as_ref() != Some(&work) {
            (last, waited) = (Some(work), Duration::ZERO);
        }
        ensure!(waited < patience, "the task has not changed for {patience:?}");
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

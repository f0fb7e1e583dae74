//! How a client watches a task. rmcp has the messages, and nothing that polls.
//!
//! What a task says of itself may be wrong. So this also asks for the server's list of calls
//! (`list_calls`), which says what the work does.

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
/// its status is another: it has ended, or asks for input. Gives up after pauses that add up to
/// [`PATIENCE`], and after three at least, without a new step. The pauses are counted, not the time:
/// a machine that stands still for a while proves nothing.
pub async fn watch(
    client: &Client,
    started: &Started,
    steps: u32,
) -> anyhow::Result<(DetailedTask, CallRecord)> {
    let pause = pause(&started.task);
    let patience = PATIENCE.max(3 * pause);
    let (mut last, mut waited) = (None, Duration::ZERO);
    loop {
        let task = look(client, &started.task.task_id).await?;
        let work = client.ask(started.call).await?;
        if task.status() != TaskStatus::Working || work.steps_done >= steps {
            return Ok((task, work));
        }
        if last.as_ref() != Some(&work) {
            (last, waited) = (Some(work), Duration::ZERO);
        }
        ensure!(waited < patience, "the task has done no step for {patience:?}");
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

/// How long to wait before the next look: a second if the server suggests nothing, and 10 ms at
/// least.
pub fn pause(task: &Task) -> Duration {
    Duration::from_millis(task.poll_interval_ms.unwrap_or(1000).max(10))
}

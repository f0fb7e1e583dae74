//! What a client does with tasks: start one, look at it, cancel it, fetch its result.
//!
//! rmcp has the messages, `Peer::get_task` and `Peer::cancel_task`. The rest is the client's own
//! business: rmcp's `call_tool` takes a task for an unexpected response, and nothing polls.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rmcp::ErrorData;
use rmcp::model::{
    CallToolResult, CancelTaskParams, DetailedTask, ErrorCode, GetTaskParams, RequestId,
    ServerResult, Task, TaskPayload, TaskStatus,
};
use rmcp::service::ServiceError;
use serde_json::Value;
use shared::client::{Client, PATIENCE, patient, text_of, tool_call};
use tokio::time::{Instant, sleep, timeout};

/// What a server made of a call. The server decides: a client that declares the extension must
/// be ready for both.
#[derive(Debug)]
pub enum Called {
    /// The work goes on as this task. The request, of this id, is over.
    Task(RequestId, Task),
    /// The work is done, and this is its result.
    Done(CallToolResult),
}

/// What a server made of a cancel.
#[derive(Debug)]
pub enum Cancelled {
    /// It has heard the cancel. It does not say that the work will stop.
    Acknowledged,
    /// It knows no such task, or no more.
    Unknown(ErrorData),
}

/// How a task ended.
#[derive(Debug)]
pub enum TaskEnd {
    /// With the result that the call would have had. A tool that failed says so in there.
    Completed(CallToolResult),
    /// With the JSON-RPC error that the call would have had.
    Failed(ErrorData),
    /// Because it was cancelled, before its work was done.
    Cancelled,
    /// Nobody knows: the server has forgotten the task.
    Forgotten,
}

/// Calls a tool. If the server makes a task of it, this returns at once.
pub async fn call_tool_as_task(
    client: &Client,
    name: &'static str,
    arguments: Value,
) -> anyhow::Result<Called> {
    let call = tool_call(name, arguments);
    let handle = client.send_cancellable_request(call, patient()).await?;
    let request = handle.id.clone();
    match handle.await_response().await? {
        ServerResult::CreateTaskResult(created) => Ok(Called::Task(request, created.task)),
        ServerResult::CallToolResult(result) => Ok(Called::Done(result)),
        other => bail!("{name} was answered with {other:?}"),
    }
}

/// Asks for a task to be cancelled.
pub async fn cancel_task(client: &Client, id: &str) -> anyhow::Result<Cancelled> {
    let answer = timeout(PATIENCE, client.cancel_task(CancelTaskParams::new(id))).await;
    match answer.context("tasks/cancel gave no answer")? {
        Ok(()) => Ok(Cancelled::Acknowledged),
        Err(error) => unknown(error).map(Cancelled::Unknown),
    }
}

/// Looks at a task. `None` if the server knows no such task, or no more.
pub async fn get_task(client: &Client, id: &str) -> anyhow::Result<Option<DetailedTask>> {
    let answer = timeout(PATIENCE, client.get_task(GetTaskParams::new(id))).await;
    match answer.context("tasks/get gave no answer")? {
        Ok(found) => Ok(Some(found.task)),
        Err(error) => unknown(error).map(|_| None),
    }
}

/// Looks at a task, as often as the server suggests, until it is as wanted or has ended. Gives
/// up when it has not changed for [`PATIENCE`].
pub async fn watch_task(
    client: &Client,
    id: &str,
    wanted: impl Fn(&Task) -> bool,
) -> anyhow::Result<Option<DetailedTask>> {
    let (mut changed, mut since) = (String::new(), Instant::now());
    loop {
        let Some(now) = get_task(client, id).await? else { return Ok(None) };
        // A task may ask for input, to be given with `tasks/update`. In this lesson none does.
        if now.status() != TaskStatus::Working || wanted(&now.task) {
            return Ok(Some(now));
        }
        if now.task.last_updated_at != changed {
            (changed, since) = (now.task.last_updated_at.clone(), Instant::now());
        }
        ensure!(since.elapsed() < PATIENCE, "the task has not changed for {PATIENCE:?}");
        sleep(suggested(&now.task)).await;
    }
}

/// Waits for the end of a task. The result comes with the look that finds it completed; there
/// is no call that fetches it.
pub async fn get_task_result(client: &Client, id: &str) -> anyhow::Result<TaskEnd> {
    let Some(ended) = watch_task(client, id, |_| false).await? else {
        return Ok(TaskEnd::Forgotten);
    };
    Ok(match ended.payload {
        TaskPayload::Completed { result } => {
            TaskEnd::Completed(serde_json::from_value(result.into())?)
        }
        TaskPayload::Failed { error } => TaskEnd::Failed(serde_json::from_value(error.into())?),
        TaskPayload::Cancelled => TaskEnd::Cancelled,
        other => bail!("the task has not ended: {other:?}"),
    })
}

/// How long to wait before the next look. A server that suggests no time at all is not taken at
/// its word.
pub fn suggested(task: &Task) -> Duration {
    Duration::from_millis(task.poll_interval_ms.unwrap_or(1000).max(10))
}

/// The answer to an id that the server does not know. Any other error is passed on.
fn unknown(error: ServiceError) -> anyhow::Result<ErrorData> {
    match error {
        ServiceError::McpError(error) if error.code == ErrorCode::INVALID_PARAMS => Ok(error),
        error => Err(error.into()),
    }
}

impl Called {
    /// The task, where nothing else will do.
    pub fn task(self) -> anyhow::Result<(RequestId, Task)> {
        match self {
            Self::Task(request, task) => Ok((request, task)),
            Self::Done(result) => bail!("answered with a result, not a task: {}", text_of(&result)),
        }
    }
}

impl TaskEnd {
    /// The result, where nothing else will do.
    pub fn completed(self) -> anyhow::Result<CallToolResult> {
        match self {
            Self::Completed(result) => Ok(result),
            other => bail!("the task did not complete: {other:?}"),
        }
    }
}

impl Cancelled {
    /// Whether the server has heard the cancel of a task that it knows.
    pub fn is_acknowledged(&self) -> bool {
        matches!(self, Self::Acknowledged)
    }
}

//! The edges of the lesson: a tool that panics, a task that nobody knows, and clients that
//! cannot have tasks.

use anyhow::{Context, bail, ensure};
use course::lesson::Protocol;
use course::stage::Stage;
use rmcp::model::{ClientCapabilities, ErrorCode, GetTaskParams};
use rmcp::service::ServiceError;
use serde_json::json;
use shared::client::{Client, PROMPT, text_of};
use shared::dataset::part;
use tokio::time::timeout;

use crate::client::{
    Called, Cancelled, TaskEnd, call_tool_as_task, cancel_task, get_task_result, suggested,
};
use crate::{Row, tasks_declared};

/// A tool that panics. Its task ends, like any other.
pub(crate) async fn panicked(client: &Client) -> anyhow::Result<Row> {
    println!("📁 crash: a tool that panics");
    let (request, task) = call_tool_as_task(client, "crash", json!({})).await?.task()?;
    let ending = get_task_result(client, &task.task_id);
    let end = timeout(PROMPT + 2 * suggested(&task), ending).await;
    let end = end.context("the tool has panicked, and its task is still working")??;
    let TaskEnd::Failed(error) = end else { bail!("a tool panicked, and its task ended: {end:?}") };
    println!("   Failed: {}, {}", error.code.0, error.message);
    Ok((client.ask_by_id(&request).await?, None))
}

/// A cancel for a task that there never was. (For requests such a cancel is ignored; this one
/// is a request of its own, and has an answer.)
pub(crate) async fn unknown(client: &Client) -> anyhow::Result<()> {
    let Cancelled::Unknown(error) = cancel_task(client, "no-such-task").await? else {
        bail!("the server acknowledged the cancel of a task that it cannot know")
    };
    println!("🛑 tasks/cancel for an unknown task: {}, {}", error.code.0, error.message);
    Ok(())
}

/// A client that cannot have tasks gets what it asked for, and waits for it. 2025-11-25 has no
/// such extension, so there it makes no difference what a client declares.
pub(crate) async fn without_tasks(stage: &Stage) -> anyhow::Result<()> {
    for (who, declared, protocol) in [
        ("a client that does not declare tasks", ClientCapabilities::default(), stage.protocol),
        ("a client of 2025-11-25 that does", tasks_declared(), Protocol::V2025),
    ] {
        let client = stage.connect_as(declared, protocol).await?;
        let call = json!({ "filename": part(0).0, "processing_time": 1 });
        let called = call_tool_as_task(&client, "process_large_file", call).await;
        match called.with_context(|| format!("{who} was turned away"))? {
            Called::Done(result) => println!("📁 {who}: {}", text_of(&result)),
            Called::Task(..) => bail!("{who} was answered with a task"),
        }
        // Nor can it meddle with the tasks of others.
        let wanted = ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY;
        let looked = client.get_task(GetTaskParams::new("any")).await;
        let refused = matches!(&looked, Err(ServiceError::McpError(error)) if error.code == wanted);
        ensure!(refused, "{who} may look at tasks: {looked:?}");
        client.close().await?;
    }
    Ok(())
}

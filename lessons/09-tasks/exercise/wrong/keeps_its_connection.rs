//! Hint: your proof looks at the task on the connection that has started it

use anyhow::ensure;
use course::stage::Stage;
use rmcp::model::{ClientCapabilities, TaskStatus};
use serde_json::json;
use shared::calls::State;
use tasks_extension::client::watch;

use crate::{cancel, start};

pub async fn prove(stage: &Stage) -> anyhow::Result<()> {
    let with_tasks = ClientCapabilities::builder().enable_tasks().build();
    let client = stage.connect_as(with_tasks, stage.protocol).await?;
    let work = json!({ "filename": "large_dataset.csv", "processing_time": 100 });
    let started = start(&client, "process_large_file", work).await?;
    let (found, work) = watch(&client, &started, 2).await?;
    let status = found.status();
    ensure!(status == TaskStatus::Working, "the task is not at work: it is {status:?}");

    cancel(&client, &started.task.task_id).await?;
    let (ended, _) = watch(&client, &started, work.steps_done + 3).await?;
    let status = ended.status();
    ensure!(status == TaskStatus::Cancelled, "the cancelled task is {status:?}");
    let end = client.ask(started.call).await?.state;
    ensure!(end == State::Cancelled, "the work of the cancelled task is {end:?}");
    client.close().await
}

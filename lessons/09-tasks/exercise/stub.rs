//! Write the proof: start a task, lose the connection, find the task again, cancel it.
//!
//! Your client proves that a server's tasks outlive their connection, and that they really stop:
//!
//! 1. Start `process_large_file` with 100 steps as a task. Then close the client.
//! 2. Connect again, and find the task. It must be at work.
//! 3. Cancel it, and wait until it has ended. It must have ended as cancelled.
//! 4. Its work must have stopped too: the server's list of calls says whether that is so.
//!
//! Return an error if any of this does not hold. Your code is played against the healthy server,
//! and against three that are wrong: one acknowledges the cancel and does nothing, one says that
//! the task is cancelled and works on, and one forgets a task with its connection.
//!
//! What you may use:
//! - `stage.connect_as(capabilities, stage.protocol).await?` is a client, if
//!   `ClientCapabilities::builder().enable_tasks().build()` are its capabilities
//!   (`rmcp::model::ClientCapabilities`).
//! - `start` and `cancel` of this lesson (`src/lib.rs`: `use crate::{cancel, start}`). The id for
//!   `cancel` is `started.task.task_id`, the file is `large_dataset.csv`, and the steps are its
//!   `processing_time`.
//! - `look` and `watch` of `tasks_extension::client` (`shared/tasks-extension/src/client.rs`). The
//!   last argument of `watch` is a number of steps. A task's `status()` is an
//!   `rmcp::model::TaskStatus`.
//! - `client.ask(started.call).await?` is the record of the work in the server's list: its
//!   `state` should be `shared::calls::State::Cancelled`.
//!
//! Check it with `cargo run -p tasks -- exercise`. A solution: `-- exercise --solution`.
//! More of it in README.md, "Exercise".

use course::exercise::not_begun;
use course::stage::Stage;

pub async fn prove(stage: &Stage) -> anyhow::Result<()> {
    Err(not_begun(stage))
}

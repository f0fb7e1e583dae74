//! What a client does with tasks, on any replica.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use shared::client::{PATIENCE, Patience};

use super::wire::{Caller, tool, work};

/// Starts work of this many steps as a task, and returns the task's id.
pub async fn start(url: &str, steps: u32) -> Result<String> {
    let caller = Caller::without_session(url)?;
    let answer = caller.ask("tools/call", tool("process_large_file", &work(steps)), true).await?;
    let id = answer["result"]["taskId"].as_str();
    Ok(id.with_context(|| format!("a call was not answered with a task: {answer}"))?.to_owned())
}

/// The whole answer to `tasks/get`.
pub async fn get(url: &str, id: &str) -> Result<Value> {
    Caller::without_session(url)?.ask("tasks/get", json!({ "taskId": id }), true).await
}

/// The status of a task, on this replica.
pub async fn status(url: &str, id: &str) -> Result<String> {
    let answer = get(url, id).await?;
    let status = answer["result"]["status"].as_str().map(str::to_owned);
    status.with_context(|| format!("a replica does not know a task of another: {answer}"))
}

/// The code of the error that answers `tasks/cancel`, or none: it is acknowledged.
pub async fn cancel(url: &str, id: &str) -> Result<Option<i64>> {
    let caller = Caller::without_session(url)?;
    let answer = caller.ask("tasks/cancel", json!({ "taskId": id }), true).await?;
    Ok(answer["error"]["code"].as_i64())
}

/// Looks at a task until it has ended, and returns its status and the whole last answer.
pub async fn ended(url: &str, id: &str) -> Result<(String, Value)> {
    let mut patience = Patience::of(PATIENCE);
    loop {
        let answer = get(url, id).await?;
        let status = answer["result"]["status"].as_str();
        let status = status
            .with_context(|| format!("a replica does not know a task of another: {answer}"))?;
        if status != "working" {
            return Ok((status.to_owned(), answer));
        }
        let lasts = patience.lasts().await;
        ensure!(lasts, "after {PATIENCE:?} a task is still `working`, and nobody ends it");
    }
}

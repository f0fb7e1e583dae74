//! The practice server's tasks.

use std::sync::{MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::Practice;
use super::flaw::Flaw;

pub const EXTENSION: &str = "io.modelcontextprotocol/tasks";

#[derive(Debug, Clone)]
pub struct Task {
    id: String,
    request: Value,
    status: &'static str,
    looks_after_end: u32,
}

/// The client says that it knows tasks.
pub fn declared(params: &Value) -> bool {
    let capabilities = &params["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    capabilities["extensions"][EXTENSION].is_object()
}

impl Practice {
    pub fn new_task(&self, request: &Value) -> Value {
        let mut tasks = self.tasks();
        let id = format!("task-{}", tasks.len());
        let parks = self.args.parks || self.is(Flaw::TaskSleepsOn);
        let status = if parks { "input_required" } else { "working" };
        tasks.push(Task { id: id.clone(), request: request.clone(), status, looks_after_end: 0 });
        json!({ "jsonrpc": "2.0", "id": request, "result": { "resultType": "task", "taskId": id,
            "status": status, "createdAt": "2026-07-28T00:00:00Z",
            "lastUpdatedAt": "2026-07-28T00:00:00Z", "ttlMs": null } })
    }

    pub fn stop_tasks(&self, request: &Value) {
        let mut tasks = self.tasks();
        tasks.iter_mut().filter(|task| task.request == *request).for_each(|task| {
            task.status = "cancelled";
        });
    }

    pub fn task(&self, method: &str, params: &Value) -> Result<Value, (i64, String)> {
        if !declared(params) && !self.is(Flaw::TaskUninvited) {
            return Err((-32021, "declare the capability of tasks".to_owned()));
        }
        let acknowledged = json!({ "resultType": "complete" });
        let mut tasks = self.tasks();
        let Some(task) = tasks.iter_mut().find(|task| params["taskId"] == task.id.as_str()) else {
            if self.is(Flaw::TaskUnknownFine) {
                return Ok(acknowledged);
            }
            return Err((-32602, "no such task".to_owned()));
        };
        if method == "tasks/get" {
            if task.status == "cancelled" {
                task.looks_after_end += 1;
            }
            if self.is(Flaw::TaskRises) && task.looks_after_end > 1 {
                task.status = "working";
            }
            return Ok(json!({ "resultType": "complete", "taskId": task.id, "status": task.status,
                "createdAt": "2026-07-28T00:00:00Z", "lastUpdatedAt": "2026-07-28T00:00:00Z",
                "ttlMs": null }));
        }
        if task.status == "cancelled" && self.is(Flaw::TaskEndChanges) {
            task.status = "failed";
        } else if !self.is(Flaw::TaskNeverSettles) && !self.is(Flaw::TaskSleepsOn) {
            task.status = "cancelled";
        }
        if self.is(Flaw::TaskAckTalks) {
            return Ok(json!({ "resultType": "complete", "status": task.status }));
        }
        Ok(acknowledged)
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

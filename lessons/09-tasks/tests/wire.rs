//! The way of a task as a client sees it that was written without rmcp: JSON over HTTP, each
//! message compared whole.

mod support;

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{TICK, Wire, serve};
use tokio::time::sleep;

const LONG: Duration = Duration::from_secs(60);

/// The task without what differs from run to run.
fn lasting(mut task: Value) -> Value {
    for changing in ["taskId", "createdAt", "lastUpdatedAt", "statusMessage"] {
        task.as_object_mut().unwrap().remove(changing);
    }
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn start_get_cancel_get_again_cancel_once_more() {
    let server = serve(4, LONG).await;
    let wire = Wire::to(&server);
    let work = json!({ "filename": "part_0.csv", "processing_time": 3000 });

    // The answer to the call is the task, flat, and says so.
    let created = wire.call("process_large_file", work).await;
    let id = created["taskId"].as_str().unwrap().to_owned();
    for text in ["taskId", "createdAt", "lastUpdatedAt"] {
        assert!(created[text].is_string(), "{created}");
    }
    let limits = json!({ "ttlMs": 60_000, "pollIntervalMs": 50 });
    let task = |kind: &str, status: &str| {
        let mut task = limits.clone();
        task["resultType"] = json!(kind);
        task["status"] = json!(status);
        task
    };
    assert_eq!(lasting(created), task("task", "working"));

    // The answer to a look is an ordinary result.
    assert_eq!(lasting(wire.get(&id).await), task("complete", "working"));

    // The acknowledgement is empty.
    let acknowledged = json!({ "resultType": "complete" });
    assert_eq!(wire.result("tasks/cancel", json!({ "taskId": id })).await, acknowledged);

    let ended = wire.ended(&id).await;
    assert_eq!(lasting(ended.clone()), task("complete", "cancelled"));

    // Once more: acknowledged, and nothing has changed.
    assert_eq!(wire.result("tasks/cancel", json!({ "taskId": id })).await, acknowledged);
    assert_eq!(wire.get(&id).await, ended);
    let calls = wire.call("list_calls", json!({})).await["structuredContent"]["calls"].take();
    assert_eq!(calls[0]["state"], "cancelled", "{calls}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_task_carries_the_result_of_the_call() {
    let server = serve(4, LONG).await;
    let id = Wire::to(&server).start(2).await;
    let ended = Wire::to(&server).ended(&id).await;
    assert_eq!(ended["status"], "completed");
    let arguments = json!({ "filename": "part_0.csv", "processing_time": 2 });
    let plain = Wire::plain(&server).call("process_large_file", arguments).await;
    assert_eq!(ended["result"], plain);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_task_carries_the_error_of_the_call() {
    let server = serve(4, LONG).await;
    let wire = Wire::to(&server);
    let created = wire.call("crash", json!({})).await;
    let ended = wire.ended(created["taskId"].as_str().unwrap()).await;
    assert_eq!(ended["status"], "failed");
    assert_eq!(ended["error"], json!({ "code": -32603, "message": "the tool panicked" }));
    assert_eq!(ended["statusMessage"], "the tool panicked");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_that_it_has_the_extension() {
    let server = serve(4, LONG).await;
    let found = Wire::plain(&server).result("server/discover", json!({})).await;
    let extensions = json!({ "io.modelcontextprotocol/tasks": {} });
    assert_eq!(found["capabilities"]["extensions"], extensions);
}

/// `notifications/cancelled` MUST NOT be used for a task. A client that does it all the same
/// gets what every notification gets, 202, and the task goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_posted_cancel_of_the_request_leaves_the_task_alone() {
    let server = serve(4, LONG).await;
    let wire = Wire::to(&server);
    let id = wire.start(3000).await;
    let cancel = json!({ "requestId": 1, "reason": "a test" });
    assert_eq!(wire.notify("notifications/cancelled", cancel).await, StatusCode::ACCEPTED);
    let before = wire.get(&id).await;
    // Its next sign of life, and what it is a sign of.
    let mut after = before.clone();
    while after["lastUpdatedAt"] == before["lastUpdatedAt"] {
        sleep(TICK).await;
        after = wire.get(&id).await;
    }
    assert_eq!(after["status"], "working");
    wire.result("tasks/cancel", json!({ "taskId": id })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_methods_of_2025_11_25_are_gone() {
    let server = serve(4, LONG).await;
    let wire = Wire::to(&server);
    let id = wire.start(1).await;
    for method in ["tasks/result", "tasks/list"] {
        assert_eq!(wire.error(method, json!({ "taskId": id })).await.0, -32601);
    }
}

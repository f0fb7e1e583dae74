//! Whatever a client asks of a task, it is told what is wrong with it, and the server lives.

mod support;

use std::time::Duration;

use course::lesson::Protocol;
use course::stage::Stage;
use reqwest::StatusCode;
use rmcp::model::ClientCapabilities;
use serde_json::{Value, json};
use support::{DEADLINE, TICK, Wire, serve};
use tasks::client::{Cancelled, TaskEnd, cancel_task, get_task, get_task_result};
use tokio::time::{sleep, timeout};

const LONG: Duration = Duration::from_secs(60);
const METHODS: [&str; 3] = ["tasks/get", "tasks/update", "tasks/cancel"];

/// Every method refuses these parameters with -32602 and a sentence that has this in it.
async fn refuses(params: Value, sentence: &str) {
    let server = serve(4, LONG).await;
    let wire = Wire::to(&server);
    let running = wire.start(3000).await;
    for method in METHODS {
        let mut params = params.clone();
        params["inputResponses"] = json!({});
        let (code, message) = wire.error(method, params).await;
        assert_eq!(code, -32602, "{method}: {message}");
        assert!(message.contains(sentence), "{method}: {message}");
    }
    assert_eq!(wire.get(&running).await["status"], "working");
    wire.still_serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_task_is_refused() {
    refuses(json!({ "taskId": "no-such-task" }), "no task \"no-such-task\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_task_id_is_refused() {
    refuses(json!({ "taskId": "" }), "no task \"\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_id_that_is_a_number_is_refused() {
    refuses(json!({ "taskId": 5 }), "taskId must be a string, not 5").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_id_that_is_null_is_refused() {
    refuses(json!({ "taskId": null }), "taskId must be a string, not null").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_id_that_is_an_object_is_refused() {
    refuses(json!({ "taskId": { "id": 5 } }), "taskId must be a string").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_task_id_is_named() {
    refuses(json!({}), "needs a taskId").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_cannot_be_read_are_refused() {
    let server = serve(4, LONG).await;
    let wire = Wire::to(&server);
    let params = json!({ "taskId": wire.start(1).await, "inputResponses": 5 });
    let (code, message) = wire.error("tasks/update", params).await;
    assert_eq!((code, &*message), (-32602, "the params of tasks/update cannot be read"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_names_another_task_is_refused() {
    let server = serve(4, LONG).await;
    let wire = Wire::to(&server);
    let id = wire.start(3000).await;
    let (status, answer) =
        wire.request_named("another", "tasks/cancel", json!({ "taskId": id })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(answer["error"]["code"], -32020, "{answer}");
    assert_eq!(wire.get(&id).await["status"], "working");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_declare_the_extension_may_not_touch_a_task() {
    let server = serve(4, LONG).await;
    let id = Wire::to(&server).start(3000).await;
    for method in METHODS {
        let params = json!({ "taskId": id, "inputResponses": {} });
        let (_, answer) = Wire::plain(&server).request(method, params).await;
        assert_eq!(answer["error"]["code"], -32021, "{answer}");
        let required = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
        assert_eq!(answer["error"]["data"]["requiredCapabilities"], required);
    }
    assert_eq!(Wire::to(&server).get(&id).await["status"], "working");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_argument_is_refused_at_once_and_makes_no_task() {
    let server = serve(1, LONG).await;
    let wire = Wire::to(&server);
    for (arguments, sentence) in [
        (json!({ "filename": "missing.csv" }), "must be one of"),
        (json!({ "filename": "part_0.csv", "processing_time": 0 }), "from 1 to 3600"),
        (json!({}), "missing field"),
    ] {
        let refused = wire.call("process_large_file", arguments).await;
        assert_eq!(refused["isError"], true, "{refused}");
        let text = refused["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(sentence), "{text}");
    }
    // There is room for one task, and it has not been taken.
    wire.start(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_is_a_clear_error_and_clients_without_tasks_are_served() {
    let server = serve(2, LONG).await;
    let wire = Wire::to(&server);
    let (first, _second) = (wire.start(3000).await, wire.start(3000).await);
    let refused = wire.call("process_large_file", json!({ "filename": "part_0.csv" })).await;
    assert_eq!(refused["isError"], true, "{refused}");
    let text = refused["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("busy: the server keeps 2 tasks, and has no room"), "{text}");

    assert_eq!(wire.get(&first).await["status"], "working");
    wire.result("tasks/cancel", json!({ "taskId": first })).await;
    assert_eq!(wire.ended(&first).await["status"], "cancelled");
    let work = json!({ "filename": "part_0.csv", "processing_time": 1 });
    let result = Wire::plain(&server).call("process_large_file", work).await;
    assert_eq!(result["isError"], false, "{result}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_expires_under_its_poller_fails_and_is_then_forgotten() {
    let server = serve(1, Duration::from_secs(1)).await;
    let wire = Wire::to(&server);
    let id = wire.start(3000).await;
    let ended = wire.ended(&id).await;
    assert_eq!(ended["status"], "failed");
    assert_eq!(ended["error"]["message"], "expired: not done within 1s");

    let forgotten = async {
        loop {
            let (_, answer) = wire.request("tasks/get", json!({ "taskId": id })).await;
            if answer["error"].is_object() {
                return answer;
            }
            assert_eq!(answer["result"], ended);
            sleep(TICK).await;
        }
    };
    let answer = timeout(DEADLINE, forgotten).await.expect("a task that is forgotten");
    assert_eq!(answer["error"]["code"], -32602);
    // Its place is free, and its work has stopped.
    wire.start(1).await;
    let calls = wire.call("list_calls", json!({})).await["structuredContent"]["calls"].take();
    assert_eq!(calls[0]["state"], "cancelled", "{calls}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_told_that_its_task_expired_and_then_that_nobody_knows_it() {
    let server = serve(1, Duration::from_secs(1)).await;
    let id = Wire::to(&server).start(3000).await;
    let lesson = Stage::over_http(&server.url, Protocol::V2026);
    let declared = ClientCapabilities::builder().enable_tasks().build();
    let client = lesson.connect_as(declared, Protocol::V2026).await.unwrap();
    let end = get_task_result(&client, &id).await.unwrap();
    assert!(matches!(&end, TaskEnd::Failed(why) if why.message.contains("expired")), "{end:?}");
    let forgotten = async {
        while get_task(&client, &id).await.unwrap().is_some() {
            sleep(TICK).await;
        }
    };
    timeout(DEADLINE, forgotten).await.expect("a task that is forgotten");
    let end = get_task_result(&client, &id).await.unwrap();
    assert!(matches!(end, TaskEnd::Forgotten), "{end:?}");
    let answer = cancel_task(&client, &id).await.unwrap();
    assert!(matches!(answer, Cancelled::Unknown(_)), "{answer:?}");
}

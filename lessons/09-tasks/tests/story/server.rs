//! The server as a client sees it that was written without rmcp: JSON over HTTP. Whatever a
//! client asks of a task, it is told what is wrong with it, and the server lives.

use std::time::Duration;

use course::lesson::Protocol::{V2025, V2026};
use hosting::between::Between;
use hosting::layer::Server;
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::calls::State;
use shared::note::Cause;
use shared::server::Setup;

use tasks::tools::TaskServer;
use tasks_extension::store::Limits;
use testing::hosted::{Hosted, setup};
use testing::raw::{CANCELLED, RawClient, assert_finished, in_time, notification, request};
use tokio::time::sleep;

const TICK: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(60);
const METHODS: [&str; 3] = ["tasks/get", "tasks/update", "tasks/cancel"];

/// The lesson's server, with these limits.
async fn serve(tasks: usize, ttl: Duration) -> Hosted {
    let setup = Setup { tick: TICK, ..setup(0) };
    let stop = setup.stop.clone();
    let limits = Limits { tasks, ttl };
    let server = Server::new(TaskServer::new(setup, limits).unwrap());
    Hosted::host(server, stop, Between::default()).await
}

/// What a client declares that takes tasks.
pub(crate) fn declared() -> Value {
    json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } })
}

/// A client that takes tasks.
async fn client(server: &Hosted) -> RawClient {
    RawClient::open_as(declared(), &server.url, V2026).await
}

/// The params of a call.
pub(crate) fn call(name: &str, arguments: &Value) -> Value {
    json!({ "name": name, "arguments": arguments })
}

fn steps(steps: u32) -> Value {
    call("process_large_file", &testing::raw::steps(steps))
}

/// The id of the task that a call became.
pub(crate) fn id_of(created: &Value) -> String {
    let id = created["result"]["taskId"].as_str();
    id.unwrap_or_else(|| panic!("not a task: {created}")).to_owned()
}

/// Starts work of this many steps as a task, and returns its id.
async fn start(wire: &RawClient, of: u32) -> String {
    id_of(&wire.ask("tools/call", steps(of)).await)
}

async fn get(wire: &RawClient, id: &str) -> Value {
    wire.ask("tasks/get", json!({ "taskId": id })).await["result"].take()
}

async fn cancel(wire: &RawClient, id: &str) -> Value {
    wire.ask("tasks/cancel", json!({ "taskId": id })).await["result"].take()
}

/// Looks until the task has ended.
pub(crate) async fn ended(wire: &RawClient, id: &str) -> Value {
    let looking = async {
        loop {
            let task = get(wire, id).await;
            if task["status"] != "working" {
                return task;
            }
            sleep(TICK).await;
        }
    };
    in_time("the end of a task", looking).await
}

/// The task without what differs from run to run.
fn lasting(mut task: Value) -> Value {
    for changing in ["taskId", "createdAt", "lastUpdatedAt", "statusMessage"] {
        task.as_object_mut().unwrap().remove(changing);
    }
    task
}

/// The acknowledgement is exact, an end is final, and a late cancel changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn start_get_cancel_get_again_cancel_once_more() {
    let server = serve(4, LONG).await;
    let wire = client(&server).await;

    // The answer to the call is the task, flat, and says so.
    let created = wire.ask("tools/call", steps(3000)).await["result"].take();
    let id = created["taskId"].as_str().unwrap().to_owned();
    for text in ["taskId", "createdAt", "lastUpdatedAt"] {
        assert!(created[text].is_string(), "{created}");
    }
    let task = |kind: &str, status: &str| json!({ "ttlMs": 60_000, "pollIntervalMs": 50, "resultType": kind, "status": status });
    assert_eq!(lasting(created), task("task", "working"));

    // The answer to a look is an ordinary result.
    assert_eq!(lasting(get(&wire, &id).await), task("complete", "working"));

    // The acknowledgement is empty.
    let acknowledged = json!({ "resultType": "complete" });
    assert_eq!(cancel(&wire, &id).await, acknowledged);
    let end = ended(&wire, &id).await;
    assert_eq!(lasting(end.clone()), task("complete", "cancelled"));

    // Once more: acknowledged, and nothing has changed.
    assert_eq!(cancel(&wire, &id).await, acknowledged);
    assert_eq!(get(&wire, &id).await, end);
    let call = &wire.calls().await[0];
    assert_eq!((call.state, call.cause), (State::Cancelled, Some(Cause::Notification)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_task_carries_the_result_of_the_call() {
    let server = serve(4, LONG).await;
    let wire = client(&server).await;
    let id = start(&wire, 2).await;
    let ended = ended(&wire, &id).await;
    assert_eq!(ended["status"], "completed");
    let plain = RawClient::open(&server.url, V2026).await;
    assert_eq!(ended["result"], plain.ask("tools/call", steps(2)).await["result"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_that_it_has_the_extension() {
    let server = serve(4, LONG).await;
    let plain = RawClient::open(&server.url, V2026).await;
    let found = plain.ask("server/discover", json!({})).await;
    assert_eq!(found["result"]["capabilities"]["extensions"], declared()["extensions"]);
}

/// A client that cannot have tasks gets what it asked for, and waits for it. 2025-11-25 has no
/// such extension, so there it makes no difference what a client declares.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_cannot_have_tasks_get_results() {
    let server = serve(4, LONG).await;
    for (declared, protocol) in [(json!({}), V2026), (json!({}), V2025), (declared(), V2025)] {
        let wire = RawClient::open_as(declared, &server.url, protocol).await;
        assert_finished(&wire.ask("tools/call", steps(1)).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_cannot_have_tasks_may_not_touch_one() {
    let server = serve(4, LONG).await;
    let owner = client(&server).await;
    let id = start(&owner, 3000).await;
    for (capabilities, protocol) in [(json!({}), V2026), (declared(), V2025)] {
        let wire = RawClient::open_as(capabilities, &server.url, protocol).await;
        for method in METHODS {
            let answer = wire.ask(method, json!({ "taskId": id, "inputResponses": {} })).await;
            assert_eq!(answer["error"]["code"], -32021, "{protocol}, {method}: {answer}");
            assert_eq!(answer["error"]["data"]["requiredCapabilities"], declared());
        }
    }
    assert_eq!(get(&owner, &id).await["status"], "working");
}

/// `notifications/cancelled` MUST NOT be used for a task. A client that does it all the same
/// gets what every notification gets, 202, and the task goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_posted_cancel_of_the_request_leaves_the_task_alone() {
    let server = serve(4, LONG).await;
    let wire = client(&server).await;
    let id = start(&wire, 3000).await;
    // The id of the request that became the task.
    let cancel_it = notification(CANCELLED, &json!({ "requestId": "ask", "reason": "a test" }));
    assert_eq!(wire.post(&cancel_it).await.status(), StatusCode::ACCEPTED);
    let before = wire.calls().await[0].steps_done;
    let two_more = async {
        while wire.calls().await[0].steps_done < before + 2 {
            sleep(TICK).await;
        }
    };
    in_time("two more steps", two_more).await;
    assert_eq!(get(&wire, &id).await["status"], "working");
    cancel(&wire, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_methods_of_2025_11_25_are_gone() {
    let server = serve(4, LONG).await;
    let wire = client(&server).await;
    let id = start(&wire, 1).await;
    for method in ["tasks/result", "tasks/list"] {
        assert_eq!(wire.ask(method, json!({ "taskId": id })).await["error"]["code"], -32601);
    }
}

/// Every method refuses it with -32602 and a sentence.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_task_is_refused() {
    let server = serve(4, LONG).await;
    let wire = client(&server).await;
    let running = start(&wire, 3000).await;
    for (params, sentence) in [
        (json!({ "taskId": "no-such-task" }), "no task \"no-such-task\""),
        (json!({ "taskId": "" }), "no task \"\""),
        (json!({ "taskId": 5 }), "taskId must be a string, not 5"),
        (json!({ "taskId": null }), "taskId must be a string, not null"),
        (json!({ "taskId": { "id": 5 } }), "taskId must be a string"),
        (json!({}), "needs a taskId"),
    ] {
        for method in METHODS {
            let mut params = params.clone();
            params["inputResponses"] = json!({});
            let error = wire.ask(method, params).await["error"].take();
            assert_eq!(error["code"], -32602, "{method}: {error}");
            assert!(error["message"].as_str().unwrap().contains(sentence), "{method}: {error}");
        }
    }
    let params = json!({ "taskId": running, "inputResponses": 5 });
    let error = wire.ask("tasks/update", params).await["error"].take();
    let unreadable = "the params of tasks/update cannot be read";
    assert_eq!(error, json!({ "code": -32602, "message": unreadable }));
    assert_eq!(get(&wire, &running).await["status"], "working");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_names_another_task_is_refused() {
    let server = serve(4, LONG).await;
    let wire = client(&server).await;
    let id = start(&wire, 3000).await;
    let message = request(V2026, &json!(1), "tasks/cancel", json!({ "taskId": id }));
    let sending = wire.http(reqwest::Method::POST).body(message.to_string());
    let sending = sending.header("mcp-method", "tasks/cancel").header("mcp-name", "another");
    let response = in_time("a response", sending.send()).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(answer["error"]["code"], -32020, "{answer}");
    assert_eq!(get(&wire, &id).await["status"], "working");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_argument_is_refused_at_once_and_makes_no_task() {
    let server = serve(1, LONG).await;
    let wire = client(&server).await;
    for (arguments, sentence) in [
        (json!({ "filename": "missing.csv" }), "must be one of"),
        (json!({ "filename": "part_0.csv", "processing_time": 0 }), "from 1 to 3600"),
        (json!({}), "missing field"),
    ] {
        let refused = wire.ask("tools/call", call("process_large_file", &arguments)).await;
        assert_eq!(refused["result"]["isError"], true, "{refused}");
        let text = testing::raw::text(&refused);
        assert!(text.contains(sentence), "{text}");
    }
    // There is room for one task, and it has not been taken.
    start(&wire, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_is_a_clear_error_and_clients_without_tasks_are_served() {
    let server = serve(2, LONG).await;
    let wire = client(&server).await;
    let (first, _second) = (start(&wire, 3000).await, start(&wire, 3000).await);
    let refused = wire.ask("tools/call", steps(1)).await;
    assert_eq!(refused["result"]["isError"], true, "{refused}");
    let text = testing::raw::text(&refused);
    assert!(text.contains("busy: the server keeps 2 tasks, and has no room"), "{text}");

    assert_eq!(get(&wire, &first).await["status"], "working");
    cancel(&wire, &first).await;
    assert_eq!(ended(&wire, &first).await["status"], "cancelled");
    let plain = RawClient::open(&server.url, V2026).await;
    assert_finished(&plain.ask("tools/call", steps(1)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_expires_under_its_poller_fails_and_is_then_forgotten() {
    let server = serve(1, Duration::from_secs(1)).await;
    let wire = client(&server).await;
    let id = start(&wire, 3000).await;
    let ended = ended(&wire, &id).await;
    assert_eq!(ended["status"], "failed");
    assert_eq!(ended["error"]["message"], "expired: not done within 1s");

    let forgotten = async {
        loop {
            let answer = wire.ask("tasks/get", json!({ "taskId": id })).await;
            if answer["error"].is_object() {
                return answer;
            }
            assert_eq!(answer["result"], ended);
            sleep(TICK).await;
        }
    };
    let answer = in_time("a task that is forgotten", forgotten).await;
    assert_eq!(answer["error"]["code"], -32602);
    // Its place is free, and its work has stopped.
    start(&wire, 1).await;
    let call = &wire.calls().await[0];
    assert_eq!((call.state, call.cause), (State::Cancelled, Some(Cause::Timeout)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_knows_why_it_was_told_to_stop() {
    let setup = setup(50);
    let (calls, stop) = (setup.calls.clone(), setup.stop.clone());
    let server = Server::new(TaskServer::new(setup, Limits::default()).unwrap());
    let server = Hosted::host(server, stop, Between::default()).await;
    let wire = client(&server).await;
    let tasks = [start(&wire, 3000).await, start(&wire, 3000).await, start(&wire, 3000).await];
    cancel(&wire, &tasks[0]).await;
    // The operator's stop: the request has long been answered, the task runs on.
    assert!(calls.stop(2));
    for task in &tasks[..2] {
        assert_eq!(ended(&wire, task).await["status"], "cancelled");
    }
    server.stop.now();
    in_time("the end of the hosting", server.hosting).await.unwrap().unwrap();
    let causes: Vec<_> = calls.list().calls.iter().map(|call| call.cause).collect();
    assert_eq!(causes, [Cause::Notification, Cause::Operator, Cause::Shutdown].map(Some));
}

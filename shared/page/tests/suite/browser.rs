//! The page in a browser, used as an operator does: `tests/browser/page.mjs`.

use std::process::Command;

use course::lesson::Protocol;
use serde_json::json;
use shared::calls::{CallRecord, State};
use testing::process::Process;
use testing::raw::{CANCELLED, find};

use crate::paged::Paged;

/// It leaves `target/page.png`, the picture that docs/src/operator-page.md shows.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node, CHROMIUM, the path of a Chromium, and PLAYWRIGHT, a folder with playwright-core"]
async fn an_operator_stops_one_of_three_calls() {
    let server = Paged::start(100).await;
    let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/page.png");
    let mut node = Command::new("node");
    node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/page.mjs"));
    let mut browser = Process::start({
        node.arg(format!("http://{}/", server.address)).arg(picture);
        node
    });
    assert_eq!(browser.line(), "empty");

    let client = server.client(Protocol::V2025).await;
    testing::raw::assert_finished(&client.work(1, 3).await.answer().await);
    let mut cancelled = client.work(2, 10).await;
    cancelled.progress(4).await;
    client.notify(CANCELLED, &json!({ "requestId": 2, "reason": "the user pressed stop" })).await;
    client.ended(2).await;
    let mut three = Vec::new();
    for (id, steps) in [(3, 80), (4, 300), (5, 100)] {
        three.push(client.work(id, steps).await);
        // At work: the server's number of the call is its id.
        three.last_mut().unwrap().progress(1).await;
    }
    browser.say("");
    assert_eq!(browser.line(), "stopped");
    let ended = |call: &CallRecord| (call.state, json!(call.cause));
    let by_operator = (State::Cancelled, json!("operator"));
    let calls = server.calls.list().calls;
    assert_eq!(ended(&find(&calls, &json!(4))), by_operator);
    for id in [3, 5] {
        assert_eq!(ended(&find(&calls, &json!(id))), (State::Finished, json!(null)));
    }

    let markup = "<img src=x onerror=document.title=1>";
    let _marked_up = client.work(markup, 3600).await;
    browser.say("");
    assert_eq!(browser.line(), "typed");
    assert_eq!(ended(&find(&server.calls.list().calls, &json!(markup))), by_operator);

    server.stop.now();
    browser.say("");
    assert!(browser.ends_within(testing::process::DEADLINE).success());
}

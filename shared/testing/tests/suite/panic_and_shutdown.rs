//! Two ends that no caller asked for: the tool panics, the server is stopped. Either way
//! the caller hears of it.

use std::time::Duration;

use course::exercise::tool::{Bench, Context, Job, TOOL};
use course::lesson::Protocol;
use futures::future::BoxFuture;
use hosting::between::Between;
use hosting::layer::{Layer, Server};
use rmcp::model::{CallToolRequestParams, CallToolResponse};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, tool, tool_router};
use serde_json::json;
use shared::client::text_of;
use shared::stop::Stop;
use testing::hosted::{Hosted, common_server};
use testing::raw::{BOTH, RawClient, text, within};

#[derive(Clone)]
struct Fragile;

#[tool_router(server_handler)]
impl Fragile {
    #[tool]
    async fn shatter(&self) -> String {
        panic!("this panic is part of a test")
    }

    #[tool]
    async fn hold(&self) -> String {
        "held".to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_an_error_that_names_the_tool_and_the_next_call_is_served() {
    let server = Hosted::start(Fragile).await;
    for protocol in BOTH {
        let wire = RawClient::open(&server.url, protocol).await;
        let answer = wire.call(1, "shatter", &json!({})).await.answer().await;
        assert_eq!(answer["error"]["code"], -32603, "{answer}");
        assert_eq!(answer["error"]["message"], "the tool shatter panicked");
        let answer = wire.call(2, "hold", &json!({})).await.answer().await;
        assert_eq!(text(&answer), "held");
    }
}

/// Panics before it returns its future.
struct Hasty;

impl Layer for Hasty {
    fn call_tool<'a>(
        &'a self,
        _: &'a Server,
        _: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        panic!("this panic is part of a test")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_before_the_first_await_is_answered_too() {
    let server = Server::new(Fragile).with(Hasty);
    let server = Hosted::host(server, Stop::default(), Between::default()).await;
    for protocol in BOTH {
        let wire = RawClient::open(&server.url, protocol).await;
        let answer = wire.call(1, "hold", &json!({})).await.answer().await;
        assert_eq!(answer["error"]["message"], "the tool hold panicked");
    }
}

/// The tool of an exercise is called with any arguments, also with none.
#[tokio::test(flavor = "multi_thread")]
async fn a_tool_of_an_exercise_has_ten_steps_if_nobody_says_how_many() {
    let count = |job: Job, _: Context| async move { Ok(Some(job.steps().to_string())) };
    let bench = Bench::new(count, Duration::ZERO, Protocol::V2025).unwrap();
    let client = bench.stage.connect().await.unwrap();
    assert_eq!(text_of(&client.call(TOOL, json!({})).await.unwrap()), "10");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_all_callers() {
    let stop = Duration::from_secs(10);
    let server = common_server(100).await;
    let mut calls = Vec::new();
    for protocol in BOTH {
        let wire = RawClient::open(&server.url, protocol).await;
        for id in 0..3 {
            calls.push(wire.work(id, 3000).await);
        }
    }
    for call in &mut calls {
        call.progress(1).await;
    }
    server.stop.now();
    within(stop, "answers, and the end of the hosting", async {
        for call in calls {
            let answer = call.answer().await;
            assert_eq!(answer["error"]["message"], "the server is shutting down", "{answer}");
        }
        server.hosting.await.unwrap().unwrap();
    })
    .await;
}

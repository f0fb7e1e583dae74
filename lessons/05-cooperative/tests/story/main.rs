//! The story passes wherever it can be told, and fails, by its own sentence, against servers
//! that are wrong on purpose. What the README warns of is held to be true.
//!
//! The work is real and runs on threads of its own, so no clock is paused here: tokio does not
//! move a paused clock while a blocking thread works. The server that never tells its tools of a
//! cancel is played by the README's second command.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cooperative::LESSON;
use cooperative::tools::WorkServer;
use cooperative::work::Digest;
use course::lesson::{Lesson, Protocol};
use course::stage::Stage;
use futures::future::BoxFuture;
use hosting::layer::{Layer, Server};
use rmcp::model::{CallToolRequestParams, CallToolResponse};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, tool, tool_router};
use serde_json::{Value, json};
use shared::client::Client;
use shared::server::Setup;
use testing::hosted::setup;
use tokio::sync::mpsc;
use tokio::time::{Duration, timeout};
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(60);

testing::passes_on!("cooperative", "", http_2026 stdio_2025 stdio_2026);
testing::readme_shows_real_output!("cooperative", Some("100ms"));

// The check of the exercise is right about the stub, a solution and wrong answers.
testing::judges!(cooperative::render:
    aborts blocks deaf looks_rarely panics runs_ahead stops_too_much);

/// Changes what comes in and what goes out.
struct Liar {
    /// Changes a call before the tool sees it.
    hears: fn(&mut CallToolRequestParams),
    /// Changes the structured content of a call's result.
    says: fn(&str, &mut Value),
}

impl Layer for Liar {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        mut request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        let asked = request.name.clone();
        (self.hears)(&mut request);
        let answer = next.call_tool(request, ctx);
        Box::pin(async move {
            let mut answer = answer.await?;
            if let CallToolResponse::Complete(result) = &mut answer
                && let Some(content) = &mut result.structured_content
            {
                (self.says)(&asked, content);
            }
            Ok(answer)
        })
    }
}

/// How the story ends against this server, in this process.
async fn ending(server: fn(Setup) -> anyhow::Result<Server>) -> String {
    let lesson = Lesson { server, ..LESSON };
    let setup = setup(0);
    let stop = setup.stop.clone();
    let stage = Stage::in_process(lesson.server, setup, Protocol::V2026, None).unwrap();
    let played = cooperative::story(&stage).await;
    stop.now();
    played.err().map(|error| format!("{error:#}")).unwrap_or_default()
}

fn worker(setup: Setup) -> Server {
    Server::new(WorkServer::new(setup))
}

macro_rules! notices {
    ($($test:ident: $hears:expr, $says:expr => $sentence:literal;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let server = |setup| Ok(worker(setup).with(Liar { hears: $hears, says: $says }));
                let ending = ending(server).await;
                assert!(ending.contains($sentence), "not {:?}, but: {ending}", $sentence);
            }
        )+
    };
}

/// Whether the call has so many passes that it is there to be cancelled.
fn is_long(request: &CallToolRequestParams) -> bool {
    request.arguments.as_ref().is_some_and(|arguments| arguments["passes"] == 10_000)
}

fn rename(request: &mut CallToolRequestParams, tool: &str, by: &'static str) {
    if request.name == tool {
        request.name = by.into();
    }
}

/// Has a long call of this tool done by `ignores`.
fn ignore(request: &mut CallToolRequestParams, tool: &str) {
    if request.name == tool && is_long(request) {
        request.name = "ignores".into();
        request.arguments.as_mut().unwrap().insert("passes".to_owned(), json!(10));
    }
}

fn hears_all(_: &mut CallToolRequestParams) {}
fn honest(_: &str, _: &mut Value) {}

notices! {
    notices_an_async_tool_that_does_not_stop:
        |request| ignore(request, "awaits"), honest
        => "awaits did not stop when it was cancelled";
    notices_a_thread_that_does_not_look:
        |request| ignore(request, "polls"), honest
        => "polls did not stop when it was cancelled";
    notices_rows_that_are_read_after_the_cancel:
        hears_all, |_, content| {
            if let Some(calls) = content["calls"].as_array_mut()
                && let Some(call) = calls.last_mut()
            {
                call["after_cancel"] = json!(1001);
            }
        }
        => "awaits read 1001 rows after its cancel, not 1000 at most";
    notices_a_tool_that_does_not_ignore:
        |request| rename(request, "ignores", "polls"), honest
        => "ignores has stopped: cancelled after";
    notices_that_nobody_saw_the_cancel:
        hears_all, |_, content| {
            for call in content["calls"].as_array_mut().into_iter().flatten() {
                call["after_cancel"] = Value::Null;
            }
        }
        => "nobody saw the token of awaits fire";
    notices_a_thread_that_does_not_look_where_it_should:
        |request| {
            let every = request.arguments.as_mut().and_then(|arguments| arguments.get_mut("every"));
            if let Some(every) = every.filter(|every| **every == 500_000) {
                *every = json!(1000);
            }
        }, honest
        => "polls does not look every 500000 rows: it stopped at row";
    notices_a_server_without_a_bound:
        |request| {
            if !is_long(request) && request.arguments.as_ref().is_some_and(|all| !all.contains_key("every")) {
                rename(request, "polls", "awaits");
            }
        }, honest
        => "no bound: more threads are at work than there should be";
    notices_that_all_must_wait_for_the_stubborn:
        |request| if !is_long(request) { rename(request, "awaits", "polls") }, honest
        => "a tool that needs no thread was not served";
    notices_a_thread_that_is_not_given_back:
        hears_all, |tool, content| {
            if tool == "rows" {
                content["busy_threads"] = json!(1);
            }
        }
        => "all calls have ended, but threads are still at work: 1";
}

async fn client_of(server: Server) -> Client {
    let pipe = hosting::pipe(server, &hosting::between::Between::default(), setup(0).stop);
    let protocol = rmcp::model::ProtocolVersion::V_2025_11_25;
    Client::pipe_as(rmcp::model::ClientCapabilities::default(), pipe, protocol).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocking_thread_cannot_be_aborted() {
    let stopped = Arc::new(AtomicBool::new(false));
    let (started, mut starts) = mpsc::channel(1);
    let thread = tokio::task::spawn_blocking({
        let stopped = Arc::clone(&stopped);
        move || {
            started.blocking_send(()).unwrap();
            while !stopped.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            "ran to its end"
        }
    });
    starts.recv().await;
    thread.abort();
    stopped.store(true, Ordering::Relaxed);
    assert_eq!(timeout(DEADLINE, thread).await.unwrap().unwrap(), "ran to its end");
}

/// Hands the token of each call out.
#[derive(Clone)]
struct Lender(mpsc::UnboundedSender<CancellationToken>);

#[tool_router(server_handler)]
impl Lender {
    #[tool]
    async fn lend(&self, ctx: RequestContext<RoleServer>) -> String {
        self.0.send(ctx.ct.clone()).unwrap();
        "lent".to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_fires_when_the_call_ends_too() {
    let (lender, mut tokens) = mpsc::unbounded_channel();
    let client = client_of(Server::new(Lender(lender))).await;
    client.call("lend", Value::Null).await.unwrap();
    // Nobody has cancelled anything. Work that outlives its call would be stopped by this.
    let token = tokens.recv().await.unwrap();
    timeout(DEADLINE, token.cancelled()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tools_do_the_same_work_and_none_counts_as_cancelled() {
    let client = client_of(worker(setup(0))).await;
    let mut digests = Vec::new();
    for tool in ["awaits", "polls", "ignores"] {
        let result = client.call(tool, json!({ "passes": 2 })).await.unwrap();
        digests.push(serde_json::from_value::<Digest>(result.structured_content.unwrap()).unwrap());
    }
    assert_eq!(digests[0].rows, 2 * 100_001);
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    let read = client.call("rows", Value::Null).await.unwrap().structured_content.unwrap();
    let calls = read["calls"].as_array().unwrap();
    assert!(calls.iter().all(|call| call["after_cancel"].is_null()), "{calls:?}");
    assert_eq!((calls.len(), &read["busy_threads"]), (3, &json!(0)));
}

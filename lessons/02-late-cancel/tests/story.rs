//! The story passes on every way it names, and ends by its own sentence against servers that
//! are wrong on purpose.

use std::sync::atomic::{AtomicU32, Ordering};

use course::lesson::Protocol;
use course::stage::Stage;
use futures::FutureExt;
use futures::future::BoxFuture;
use hosting::between::Between;
use hosting::layer::{Layer, Server};
use late_cancel::LESSON;
use late_cancel::tools::QuickServer;
use rmcp::model::{CallToolRequestParams, CallToolResponse};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use shared::stop::Stop;
use testing::hosted::{Hosted, setup};
use testing::story::notices;
use wrong::Wrong;

testing::passes_on!("late-cancel", "", http_2026 stdio_2025 stdio_2026);
testing::readme_shows_real_output!("late-cancel", Some("100ms"));

#[test]
fn notices_a_late_cancel_that_is_answered() {
    notices(&LESSON, Wrong::Touchy, 100, "the late cancel was answered");
}

#[test]
fn notices_a_call_that_is_answered_twice() {
    notices(&LESSON, Wrong::Twice, 100, "was answered 2 times");
}

#[test]
fn notices_results_of_calls_that_were_cancelled() {
    let sentence = "were answered although the server says that it cancelled";
    notices(&LESSON, Wrong::Insistent, 100, sentence);
}

#[test]
fn notices_a_server_that_never_cancels() {
    notices(&LESSON, Wrong::Deaf, 100, "no call was cancelled in 100 rounds");
}

/// Behaves until a tool has been called so often, and from then on no more.
struct Turncoat {
    turns_on: &'static str,
    after: u32,
    calls: AtomicU32,
}

impl Layer for Turncoat {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        async move {
            let tool = request.name.clone();
            let turned =
                tool == self.turns_on && self.calls.fetch_add(1, Ordering::SeqCst) >= self.after;
            let answer = next.call_tool(request, ctx).await?;
            match (turned, &*tool, answer) {
                (true, "list_calls", CallToolResponse::Complete(mut result)) => {
                    let list = result.structured_content.take().unwrap_or_default().to_string();
                    let list = list.replace("finished", "cancelled");
                    result.structured_content = serde_json::from_str(&list).ok();
                    Ok(result.into())
                }
                (true, "count_rows", _) => std::future::pending().await,
                (_, _, answer) => Ok(answer),
            }
        }
        .boxed()
    }
}

/// The story ends with this sentence, over HTTP, against a server that turns.
async fn notices_turncoat(turns_on: &'static str, after: u32, sentence: &str) {
    for protocol in [Protocol::V2025, Protocol::V2026] {
        let turncoat = Turncoat { turns_on, after, calls: AtomicU32::new(0) };
        let server = Server::new(QuickServer::new(setup(0))).with(turncoat);
        let server = Hosted::host(server, Stop::default(), Between::default()).await;
        let stage = Stage::over_http(&server.url, protocol);
        let error = late_cancel::story(&stage).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(sentence), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_finished_call_that_is_rewritten() {
    // The first two looks find the call's number, and its end.
    notices_turncoat("list_calls", 2, "the late cancel changed a finished call").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_server_that_is_dead_after_a_late_cancel() {
    notices_turncoat("count_rows", 1, "the server did not survive a late cancel").await;
}

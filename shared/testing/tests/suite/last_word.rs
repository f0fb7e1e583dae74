//! The answer is the last word of a call: progress MUST stop with it (basic/utilities/progress).

use std::pin::pin;

use course::lesson::Protocol;
use futures::poll;
use rmcp::model::ProgressNotificationParam;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use serde_json::json;
use testing::hosted::Hosted;
use testing::raw::{BOTH, RawClient, text};

#[derive(Clone)]
struct Hasty;

#[tool_router(server_handler)]
impl Hasty {
    /// Begins to send progress, gives that up, and answers, as a tool does that is cut.
    #[tool]
    async fn hurry(&self, ctx: RequestContext<RoleServer>) -> String {
        let progress = ProgressNotificationParam::new(ctx.meta.get_progress_token().unwrap(), 1.0);
        let _ = poll!(pin!(ctx.peer.notify_progress(progress)));
        "done".to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_that_a_tool_gave_up_does_not_follow_the_answer() {
    let server = Hosted::start(Hasty).await;
    for protocol in BOTH {
        let wire = RawClient::open(&server.url, protocol).await;
        nothing_follows_the_answer(&wire).await;
    }
}

/// A client that speaks 2025-11-25 with other servers sends its header here too.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_2026_07_28_does_not_have_changes_nothing() {
    let server = Hosted::start(Hasty).await;
    let mut wire = RawClient::open(&server.url, Protocol::V2026).await;
    wire.session = Some("stray".to_owned());
    nothing_follows_the_answer(&wire).await;
}

/// rmcp draws lots between the two messages: of 40 calls, one would show it.
async fn nothing_follows_the_answer(wire: &RawClient) {
    for id in 0..40 {
        let answer = wire.call(id, "hurry", &json!({})).await.answer().await;
        assert_eq!(text(&answer), "done");
    }
}

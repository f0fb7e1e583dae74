//! What becomes of a call when the server stops under it. Client and server share one thread, and
//! its clock is paused: when all wait, it jumps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hosting::between::Between;
use hosting::layer::Server;
use rmcp::model::{ClientCapabilities, ProtocolVersion};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use serde_json::Value;
use shared::client::{Client, text_of};
use shared::stop::Stop;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::sleep;

#[derive(Clone, Default)]
struct Slow {
    stop: Stop,
    at_work: Arc<AtomicBool>,
    go: Arc<Notify>,
    cleaned_up: Arc<AtomicBool>,
}

#[tool_router(server_handler)]
impl Slow {
    /// Cleans up for a minute when it is cancelled.
    #[tool]
    async fn tidy(&self, ctx: RequestContext<RoleServer>) -> String {
        self.at_work.store(true, Ordering::SeqCst);
        ctx.ct.cancelled().await;
        sleep(Duration::from_secs(60)).await;
        self.cleaned_up.store(true, Ordering::SeqCst);
        String::new()
    }

    /// Is done when the test says so.
    #[tool]
    async fn in_time(&self) -> String {
        self.at_work.store(true, Ordering::SeqCst);
        self.go.notified().await;
        "done".to_owned()
    }
}

impl Slow {
    /// Returns when one of the tools is at work.
    async fn works(&self) {
        while !self.at_work.load(Ordering::SeqCst) {
            yield_now().await;
        }
    }
}

async fn client(server: &Slow) -> Client {
    let pipe = hosting::pipe(Server::new(server.clone()), &Between::default(), server.stop.clone());
    let revision = ProtocolVersion::V_2025_11_25;
    Client::pipe_as(ClientCapabilities::default(), pipe, revision).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_cleans_up_for_long_is_not_dropped_and_its_caller_does_not_wait_for_it() {
    let server = Slow::default();
    let client = client(&server).await;
    let stopping = async {
        server.works().await;
        server.stop.now();
    };
    let (answer, ()) = tokio::join!(client.call("tidy", Value::Null), stopping);
    let error = format!("{:#}", answer.unwrap_err());
    assert!(error.contains("the server is shutting down"), "{error}");
    assert!(!server.cleaned_up.load(Ordering::SeqCst), "the caller has waited for the clean-up");
    sleep(Duration::from_secs(120)).await;
    assert!(server.cleaned_up.load(Ordering::SeqCst), "the tool was dropped while it cleaned up");
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_there_is_given_although_the_server_stops() {
    for _ in 0..50 {
        let server = Slow::default();
        let client = client(&server).await;
        // Both before the server's next look at the call.
        let stopping = async {
            server.works().await;
            server.go.notify_one();
            server.stop.now();
        };
        let (answer, ()) = tokio::join!(client.call("in_time", Value::Null), stopping);
        assert_eq!(text_of(&answer.unwrap()), "done");
    }
}

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
use shared::calls::Calls;
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
    /// Cleans up for four seconds when it is cancelled.
    #[tool]
    async fn tidy(&self, ctx: RequestContext<RoleServer>) -> String {
        self.at_work.store(true, Ordering::SeqCst);
        ctx.ct.cancelled().await;
        sleep(Duration::from_secs(4)).await;
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

/// A server with a tool that cannot be stopped any more.
#[derive(Clone, Default)]
struct Unstoppable {
    calls: Calls,
    stop: Stop,
}

#[tool_router(server_handler)]
impl Unstoppable {
    #[tool]
    async fn commit(&self, ctx: RequestContext<RoleServer>) -> Result<String, String> {
        let call = self.calls.start("commit", 1, &ctx);
        ctx.ct.cancelled().await;
        sleep(Duration::from_secs(1)).await;
        call.finish(Ok(Some("committed".to_owned())))
    }
}

async fn client(server: &Slow) -> Client {
    let pipe = hosting::pipe(Server::new(server.clone()), &Between::default(), server.stop.clone());
    let revision = ProtocolVersion::V_2025_11_25;
    Client::pipe_as(ClientCapabilities::default(), pipe, revision).await.unwrap()
}

/// What the caller of `tidy` is told when the server stops under it.
async fn stopped_under(server: &Slow) -> String {
    let client = client(server).await;
    let stopping = async {
        server.works().await;
        server.stop.now();
    };
    let (answer, ()) = tokio::join!(client.call("tidy", Value::Null), stopping);
    format!("{:#}", answer.unwrap_err())
}

#[tokio::test(start_paused = true)]
async fn a_tool_has_the_grace_to_clean_up() {
    let server = Slow { stop: Stop::with_grace(Duration::from_secs(5)), ..Slow::default() };
    let error = stopped_under(&server).await;
    assert!(error.contains("the server is shutting down"), "{error}");
    assert!(server.cleaned_up.load(Ordering::SeqCst), "the tool was dropped while it cleaned up");
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_takes_longer_than_the_grace_is_aborted_and_its_caller_is_told() {
    let server = Slow { stop: Stop::with_grace(Duration::from_secs(3)), ..Slow::default() };
    let error = stopped_under(&server).await;
    assert!(error.contains("the server is shutting down"), "{error}");
    sleep(Duration::from_secs(120)).await;
    assert!(!server.cleaned_up.load(Ordering::SeqCst), "the tool works on");
}

#[tokio::test(start_paused = true)]
async fn what_finishes_within_the_grace_gives_its_result() {
    let server = Unstoppable::default();
    let Unstoppable { calls, stop } = server.clone();
    let pipe = hosting::pipe(Server::new(server), &Between::default(), stop.clone());
    let revision = ProtocolVersion::V_2025_11_25;
    let client = Client::pipe_as(ClientCapabilities::default(), pipe, revision).await.unwrap();
    let stopping = async {
        while calls.list().calls.is_empty() {
            yield_now().await;
        }
        stop.now();
    };
    let (answer, ()) = tokio::join!(client.call("commit", Value::Null), stopping);
    assert_eq!(text_of(&answer.unwrap()), "committed");
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

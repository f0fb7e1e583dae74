//! What the README warns of, held to be true.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cooperative::tools::WorkServer;
use cooperative::work::Digest;
use rmcp::model::ProtocolVersion;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use serde_json::{Value, json};
use shared::client::Client;
use testing::hosted::{Hosted, setup};
use tokio::sync::mpsc;
use tokio::time::{Duration, timeout};
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(10);

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
    let server = Hosted::start(Lender(lender)).await;
    let client = Client::http(&server.url, ProtocolVersion::V_2025_11_25).await.unwrap();
    client.call("lend", Value::Null).await.unwrap();
    // Nobody has cancelled anything. Work that outlives its call would be stopped by this.
    let token = tokens.recv().await.unwrap();
    timeout(DEADLINE, token.cancelled()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tools_do_the_same_work() {
    let server = Hosted::start(WorkServer::new(setup(0))).await;
    let client = Client::http(&server.url, ProtocolVersion::V_2025_11_25).await.unwrap();
    let mut digests = Vec::new();
    for tool in ["awaits", "polls", "ignores"] {
        let result = client.call(tool, json!({ "passes": 2 })).await.unwrap();
        let digest: Digest = serde_json::from_value(result.structured_content.unwrap()).unwrap();
        digests.push((digest.rows, digest.hash));
    }
    assert!(digests[0].0 > 200_000 && digests.iter().all(|digest| *digest == digests[0]));
}

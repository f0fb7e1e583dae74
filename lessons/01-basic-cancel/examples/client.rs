//! An MCP client that starts a call, watches it, cancels it, and asks the server whether the
//! work has ended.
//!
//! Paste this file into a crate of your own as `src/main.rs`, with these lines:
//!
//! ```toml
//! [dependencies]
//! anyhow = "1"
//! rmcp = { version = "3.9", features = [
//!     "client",
//!     "transport-child-process",
//!     "transport-streamable-http-client-reqwest",
//! ] }
//! serde_json = "1"
//! tokio = { version = "1", features = ["macros", "process", "rt-multi-thread", "sync", "time"] }
//! ```
//!
//! For `https:` URLs, add rmcp's feature `reqwest`.
//!
//! `client URL` goes to a server over HTTP. `client -- COMMAND ARGUMENTS` starts a server and
//! talks to its standard input and output. With `--2026-07-28` before either, the client speaks
//! that revision; without, 2025-11-25.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientRequest, ProgressNotificationParam,
    ProtocolVersion,
};
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt, NotificationContext, PeerRequestOptions,
};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientHandler, RoleClient};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// How long to wait for a server before giving up on it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the client does with messages that are no answers: it passes progress on.
struct Watcher(mpsc::UnboundedSender<ProgressNotificationParam>);

impl ClientHandler for Watcher {
    async fn on_progress(
        &self,
        progress: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        // Nobody may be watching any more. That is fine.
        let _ = self.0.send(progress);
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // 2025-11-25 opens with a handshake, `initialize`. 2026-07-28 has none.
    let mut args = std::env::args().skip(1).peekable();
    let lifecycle = match args.next_if_eq("--2026-07-28") {
        Some(_) => ClientLifecycleMode::Discover {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        },
        None => ClientLifecycleMode::Initialize,
    };
    let (news, mut progress) = mpsc::unbounded_channel();
    let watcher = Watcher(news);
    let connecting = async {
        Ok(match args.next().as_deref() {
            Some("--") => {
                let mut command = Command::new(args.next().context("name a command after --")?);
                command.args(args);
                watcher.serve_with_lifecycle(TokioChildProcess::new(command)?, lifecycle).await?
            }
            Some(url) => {
                let server = StreamableHttpClientTransport::from_uri(url);
                watcher.serve_with_lifecycle(server, lifecycle).await?
            }
            None => bail!("name a server: `client URL` or `client -- COMMAND ARGUMENTS`"),
        })
    };
    let client = timeout(PATIENCE, connecting).await.context("this is no MCP server")??;
    let server = client.peer_info().context("the server said nothing about itself")?;
    println!("connected, revision {}", server.protocol_version);

    // 1. Start a call. `client.call_tool(..)` would do, but a cancel has to name the request:
    //    this handle knows the request's id. rmcp adds a progress token by itself.
    let arguments = json!({ "filename": "large_dataset.csv", "processing_time": 100 });
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    let call = CallToolRequestParams::new("process_large_file").with_arguments(arguments);
    let call = ClientRequest::CallToolRequest(CallToolRequest::new(call));
    let handle = client.send_cancellable_request(call, PeerRequestOptions::no_options()).await?;
    let id = handle.id.clone();
    println!("request {id}: started");

    // 2. Watch it. `handle.await_response()` would wait for the result.
    for _ in 0..3 {
        let news = timeout(PATIENCE, progress.recv()).await.context("no progress")?;
        let news = news.context("the connection is closed")?;
        println!("request {id}: {} of {}", news.progress, news.total.unwrap_or_default());
    }

    // 3. Cancel it. On stdio and on HTTP 2025-11-25 this sends `notifications/cancelled` with the
    //    id. On HTTP 2026-07-28 it closes the stream of the response: that is the cancel there.
    handle.cancel(Some("the user pressed stop".to_owned())).await?;
    println!("request {id}: cancel sent");

    // 4. No answer comes to a cancelled call, so nothing said so far shows that the server has
    //    stopped. Ask it. Your server may have another way to tell; this one has a tool.
    let ended = timeout(PATIENCE, async {
        loop {
            let answer = client.call_tool(CallToolRequestParams::new("list_calls")).await?;
            let list = answer.structured_content.context("list_calls gave no list")?;
            let calls = list["calls"].as_array().context("list_calls gave no calls")?;
            // Each connection counts its ids from the start: the newest call with our id is ours.
            let ours = calls.iter().rfind(|call| call["request_id"] == json!(id));
            let ours = ours.context("the server does not know our call")?;
            if ours["state"] != "running" {
                return anyhow::Ok(ours.clone());
            }
            sleep(Duration::from_millis(10)).await;
        }
    });
    let ended: Value = ended.await.context("the server works on")??;
    let (done, total) = (&ended["steps_done"], &ended["steps_total"]);
    println!("server: {} after {done} of {total} steps", ended["state"]);
    client.cancel().await?;
    ensure!(ended["state"] == "cancelled", "the server did not cancel the call");
    Ok(())
}

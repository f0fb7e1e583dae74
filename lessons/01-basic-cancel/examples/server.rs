//! An MCP server with a tool that can be cancelled, in both revisions of the protocol.
//!
//! Paste this file into a crate of your own as `src/main.rs`, with these lines:
//!
//! ```toml
//! [dependencies]
//! anyhow = "1"
//! axum = { version = "0.8", default-features = false, features = ["http1", "tokio"] }
//! chrono = { version = "0.4", default-features = false, features = ["clock", "serde"] }
//! rmcp = { version = "3.9", features = ["transport-io", "transport-streamable-http-server"] }
//! serde = { version = "1", features = ["derive"] }
//! serde_json = "1"
//! tokio = { version = "1", features = ["macros", "net", "rt-multi-thread", "time"] }
//! ```
//!
//! `server 127.0.0.1:8000` serves HTTP. `server --stdio` serves the program that started it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::serve::ListenerExt;
use chrono::Utc;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ProgressNotificationParam};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService, stdio};
use rmcp::{RoleServer, ServiceExt, schemars, tool, tool_router};
use serde_json::{Value, json};

/// A client cannot see whether its cancel worked: a cancelled call has no answer. So the server
/// keeps a list of its calls, and a second tool shows it.
#[derive(Clone, Default)]
struct Server {
    calls: Arc<Mutex<Vec<Value>>>,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Work {
    filename: String,
    processing_time: u32,
}

#[tool_router(server_handler)]
impl Server {
    /// Processes a file in `processing_time` steps. Reports its progress. Can be cancelled.
    #[tool]
    async fn process_large_file(
        &self,
        Parameters(Work { filename, processing_time: steps }): Parameters<Work>,
        ctx: RequestContext<RoleServer>,
    ) -> String {
        let call = self.add(json!({
            "request_id": ctx.id, "tool": "process_large_file", "state": "running",
            "steps_done": 0, "steps_total": steps, "started_at": Utc::now(),
        }));
        let work = async {
            for step in 1..=steps {
                // Your work goes here, with an `.await` now and then: a future can only be dropped
                // at an await. Work that computes for long belongs into `spawn_blocking`, and has
                // to look at a clone of `ctx.ct` by itself.
                tokio::time::sleep(Duration::from_millis(100)).await;
                self.set(call, "steps_done", json!(step));
                // A client that wants progress sends a token with its call.
                if let Some(token) = ctx.meta.get_progress_token() {
                    let progress = ProgressNotificationParam::new(token, f64::from(step))
                        .with_total(f64::from(steps));
                    let _ = ctx.peer.notify_progress(progress).await;
                }
            }
        };
        // This is all that cancellation takes. rmcp does not abort a tool. It fires `ctx.ct` when
        // the client cancels, and goes on waiting for the tool. `select!` then drops `work`, and
        // with it all that `work` owns. `biased` asks the token first.
        let state = tokio::select! {
            biased;
            () = ctx.ct.cancelled() => "cancelled",
            () = work => "finished",
        };
        self.set(call, "ended_at", json!(Utc::now()));
        self.set(call, "state", json!(state));
        // rmcp drops this text if the call was cancelled.
        format!("Processed {filename} in {steps} steps")
    }

    /// Lists the calls that this server runs and has run, newest last.
    #[tool]
    async fn list_calls(&self) -> CallToolResult {
        let calls = self.calls.lock().expect("no change of the list panics");
        CallToolResult::structured(json!({ "calls": *calls }))
    }
}

impl Server {
    /// Puts a call on the list, under a number of the server's own: each connection counts its
    /// request ids from the start. The list only grows; a server that runs for weeks should
    /// forget calls that have ended.
    fn add(&self, mut call: Value) -> usize {
        let mut calls = self.calls.lock().expect("no change of the list panics");
        let index = calls.len();
        call["call"] = json!(index + 1);
        calls.push(call);
        index
    }

    fn set(&self, call: usize, field: &str, value: Value) {
        self.calls.lock().expect("no change of the list panics")[call][field] = value;
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::default();
    match std::env::args().nth(1).as_deref() {
        // Standard output belongs to the protocol now: print to standard error only.
        Some("--stdio") => drop(server.serve(stdio()).await?.waiting().await?),
        Some(address) => {
            let listener = tokio::net::TcpListener::bind(address).await?;
            println!("serving http://{}/mcp", listener.local_addr()?);
            // Progress is many small messages. Without this, TCP may hold them back.
            let listener = listener.tap_io(|tcp| drop(tcp.set_nodelay(true)));
            let sessions = Arc::new(LocalSessionManager::default());
            let config = StreamableHttpServerConfig::default();
            let mcp = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
            axum::serve(listener, axum::Router::new().route_service("/mcp", mcp)).await?;
        }
        None => anyhow::bail!("say where to serve: `server 127.0.0.1:8000` or `server --stdio`"),
    }
    Ok(())
}

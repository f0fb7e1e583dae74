//! The chapter `idle`: a session that is closed for its silence, with a call at work in it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use axum::Router;
use course::lesson::Protocol;
use course::narrate::outcome;
use course::stage::Stage;
use futures::FutureExt;
use futures::future::BoxFuture;
use rmcp::model::{CallToolRequestParams, CallToolResponse, RequestMetaObject, ServerResult};
use rmcp::service::{PeerRequestOptions, RequestContext, ServiceError};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::json;
use shared::calls::{CallRecord, Calls, State};
use shared::client::{PROMPT, tool_call};
use shared::dataset::DataFolder;
use shared::hosting::Stop;
use shared::layer::{Layer, Server};
use shared::server::{FileServer, Setup};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::{MIN_TICK, limit, steps};

/// When a session is closed, rmcp 3.9.0 gives its calls so long before it cancels them.
const DRAIN: Duration = Duration::from_secs(5);

/// Makes the same call twice, each on a server of its own that closes a session after
/// `keep_alive` without a message. One call reports progress, the other is silent.
///
/// Only HTTP 2025-11-25 has sessions, so that is what this chapter plays in any case.
pub async fn idle(stage: &Stage, keep_alive: Duration) -> anyhow::Result<()> {
    // A call that ends before this has been ended.
    let length = limit(stage) + DRAIN + PROMPT;
    let [silent, talking] = [true, false].map(|silent| call(stage, keep_alive, length, silent));
    let ((silent, nothing), (talking, answer)) = tokio::try_join!(silent, talking)?;
    println!("   each session is closed after {keep_alive:?} without a message");

    // 1. A quiet tool, a healthy client that waits for it, and nobody has cancelled anything.
    ensure!(nothing.is_none(), "the caller of the silent call was told: {nothing:?}");
    ensure!(
        silent.state == State::Cancelled,
        "the closed session did not take its silent call with it: the call {}",
        outcome(&silent)
    );
    println!(
        "   silent         {} in {:.1} s; its caller waits on",
        outcome(&silent),
        lasted(&silent)
    );

    // 2. Each progress notification is a message, and keeps the session open.
    ensure!(
        talking.state == State::Finished && matches!(answer, Some(Ok(_))),
        "progress did not keep the session open: the call {}, its caller has {answer:?}",
        outcome(&talking)
    );
    println!(
        "   with progress  {} in {:.1} s; its caller has the answer",
        outcome(&talking),
        lasted(&talking)
    );
    Ok(())
}

/// What the server wrote down of a call, and what its caller got within [`PROMPT`] after that.
type Ending = (CallRecord, Option<Result<ServerResult, ServiceError>>);

async fn call(
    stage: &Stage,
    keep_alive: Duration,
    length: Duration,
    silent: bool,
) -> anyhow::Result<Ending> {
    let calls = Calls::default();
    let setup = Setup {
        data: DataFolder::sample()?,
        calls: calls.clone(),
        tick: stage.tick.max(MIN_TICK),
        stop: Stop::default(),
    };
    let mut news = calls.watch();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    let server = Server::new(FileServer::new(setup)).with(SilentOnDemand);
    let app = match stage.wrong {
        None => host(server, keep_alive),
        Some(wrong) => host(wrong.tools(server), keep_alive),
    };

    let conversation = async {
        let client = Stage::over_http(url, Protocol::V2025).connect().await?;
        let steps = steps(stage, length);
        let arguments = json!({
            "filename": "large_dataset.csv", "processing_time": steps, "silent": silent
        });
        let call = tool_call("process_large_file", arguments);
        let mut handle =
            client.send_cancellable_request(call, PeerRequestOptions::no_options()).await?;
        // The list is in this process. To ask for it over the wire would be a message.
        let record = loop {
            let record =
                timeout(length * 2, news.recv()).await.context("the call never ended")??;
            if record.state != State::Running {
                break record;
            }
        };
        let answer = timeout(PROMPT, &mut handle.rx).await.ok().transpose()?;
        Ok((record, answer))
    };
    tokio::select! {
        ended = axum::serve(listener, app).into_future() => bail!("the server ended: {ended:?}"),
        ending = conversation => ending,
    }
}

/// rmcp's own hosting, as it comes but for one setting.
fn host(server: Server, keep_alive: Duration) -> Router {
    let mut sessions = LocalSessionManager::default();
    // `None` is never, and the default is five minutes. The pings that rmcp writes to an open
    // stream every 15 s are not messages, and do not count.
    sessions.session_config.keep_alive = Some(keep_alive);
    let config = StreamableHttpServerConfig::default();
    let mcp = StreamableHttpService::new(move || Ok(server.clone()), Arc::new(sessions), config);
    Router::new().route_service("/mcp", mcp)
}

/// Makes a call silent if its arguments ask for that.
struct SilentOnDemand;

impl Layer for SilentOnDemand {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        request: CallToolRequestParams,
        mut ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        let silent = request.arguments.as_ref().is_some_and(|given| given["silent"] == true);
        if silent {
            // The token is what progress is sent under. Most tools never look at it.
            ctx.meta = RequestMetaObject::default();
        }
        next.call_tool(request, ctx).boxed()
    }
}

fn lasted(call: &CallRecord) -> f64 {
    let end = call.ended_at.unwrap_or(call.started_at);
    (end - call.started_at).as_seconds_f64()
}

//! The chapter `idle`: a session that is closed for its silence, with a call at work in it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use axum::Router;
use course::lesson::{Protocol, Transport};
use course::narrate::outcome;
use course::stage::Stage;
use futures::FutureExt;
use futures::future::BoxFuture;
use hosting::layer::{Layer, Server};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientRequest, PingRequest, RequestMetaObject,
    ServerResult,
};
use rmcp::service::{PeerRequestOptions, RequestContext, ServiceError};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::json;
use shared::calls::{CallRecord, Calls, State};
use shared::client::{PATIENCE, tool_call};
use shared::dataset::DataFolder;
use shared::server::{FileServer, MAX_STEPS, Setup};
use shared::stop::Stop;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout};

/// How long rmcp 3.9.0 lets the calls of a closed session go on before it cancels them.
const DRAIN: Duration = Duration::from_secs(5);
/// How long an answer that is under way may take to arrive.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// Makes a call twice, each on a server of its own that closes a session after `keep_alive`
/// without a message. One call reports progress, the other is silent.
pub async fn idle(stage: &Stage, mut keep_alive: Duration) -> anyhow::Result<()> {
    let sessions = (stage.transport, stage.protocol) == (Transport::Http, Protocol::V2025);
    ensure!(sessions, "only HTTP 2025-11-25 has sessions: leave out --transport and --protocol");
    ensure!(!stage.foreign, "this chapter hosts servers with impatient sessions: leave out --url");
    let wait = (keep_alive + DRAIN + ON_ITS_WAY).as_secs();
    println!("   two calls at once, one of them silent; this takes about {wait} s");
    let longest = keep_alive * 4;
    let (silent, talking) = loop {
        // Enough steps to outlast `keep_alive` and the drain; a third more for the silent call.
        let outlive = (keep_alive + DRAIN).as_millis() / stage.tick.as_millis().max(1) + 1;
        let outlive = u32::try_from(outlive)?;
        let silent = call(stage, keep_alive, (outlive + outlive / 3).min(MAX_STEPS), true);
        let talking = call(stage, keep_alive, outlive, false);
        let (silent, talking) = tokio::try_join!(silent, talking)?;
        // A busy machine may fall silent between two steps, and the session is closed rightly.
        // Then once more, with twice the time.
        let stalled = stage.tick < keep_alive && talking.pause >= keep_alive;
        if !stalled || keep_alive >= longest {
            break (silent, talking);
        }
        keep_alive *= 2;
    };
    println!("   each session is closed after {keep_alive:?} without a message");

    // 1. A quiet tool, a healthy client that waits for it, and nobody has cancelled anything.
    let call = &silent.call;
    let told = ended(silent.early.as_ref());
    ensure!(silent.early.is_none(), "the caller of the silent call was told: {told}");
    ensure!(
        call.state == State::Cancelled,
        "the closed session did not take its silent call with it: the call {}",
        outcome(call)
    );
    println!("   silent         {} in {:.1} s; its caller waits on", outcome(call), lasted(call));

    // 2. Its caller hears of it when its client next sends something: there is no such session.
    let late = silent.late.context("the caller of the silent call waits on, though it asked")?;
    let late = late.err().context("the caller of a cancelled call got a result")?;
    println!("                  ... until its client sends a ping: {late}");

    // 3. Each progress notification is a message, and keeps the session open.
    let call = &talking.call;
    ensure!(
        call.state == State::Finished && matches!(talking.early, Some(Ok(_))),
        "progress did not keep the session open: the call {}, its caller has {}",
        outcome(call),
        ended(talking.early.as_ref())
    );
    println!(
        "   with progress  {} in {:.1} s; its caller has the answer",
        outcome(call),
        lasted(call)
    );
    Ok(())
}

type Answer = Result<ServerResult, ServiceError>;

/// What a caller has, in words.
fn ended(answer: Option<&Answer>) -> String {
    match answer {
        None => "nothing".to_owned(),
        Some(Ok(_)) => "the result".to_owned(),
        Some(Err(error)) => error.to_string(),
    }
}

/// How a call ended.
struct Ending {
    /// By the server's list.
    call: CallRecord,
    /// The longest time between two steps.
    pause: Duration,
    /// What its caller got by itself.
    early: Option<Answer>,
    /// What its caller got when its client had sent a ping.
    late: Option<Answer>,
}

async fn call(
    stage: &Stage,
    keep_alive: Duration,
    steps: u32,
    silent: bool,
) -> anyhow::Result<Ending> {
    let calls = Calls::default();
    let (data, tick, stop) = (DataFolder::sample()?, stage.tick, Stop::default());
    let setup = Setup { data, calls: calls.clone(), tick, stop };
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
        let arguments = json!({
            "filename": "large_dataset.csv", "processing_time": steps, "silent": silent
        });
        let call = tool_call("process_large_file", arguments);
        let mut handle =
            client.send_cancellable_request(call, PeerRequestOptions::no_options()).await?;
        // The list is in this process. To ask for it over the wire would be a message.
        let (mut pause, mut last) = (Duration::ZERO, Instant::now());
        let call = loop {
            let record = timeout(4 * (keep_alive + DRAIN), news.recv()).await;
            pause = pause.max(last.elapsed());
            last = Instant::now();
            match record.context("the call neither works nor ends")? {
                Ok(record) if record.state != State::Running => break record,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => bail!("the list of calls is gone"),
            }
        };
        // If the answer is under way, it comes within a second. Otherwise nothing comes.
        let early = timeout(ON_ITS_WAY, &mut handle.rx).await.ok().transpose()?;
        if early.is_some() {
            return Ok(Ending { call, pause, early, late: None });
        }
        let ping = ClientRequest::PingRequest(PingRequest::default());
        let _ = timeout(PATIENCE, client.send_request(ping)).await;
        let late = timeout(stage.patience, &mut handle.rx).await.ok().transpose()?;
        Ok(Ending { call, pause, early, late })
    };
    tokio::select! {
        ended = axum::serve(listener, app).into_future() => bail!("the server ended: {ended:?}"),
        ending = conversation => ending,
    }
}

/// rmcp's own hosting, as it comes but for one setting.
fn host(server: Server, keep_alive: Duration) -> Router {
    let mut sessions = LocalSessionManager::default();
    // `None` is never, and the default is five minutes. The comments that rmcp writes to an open
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

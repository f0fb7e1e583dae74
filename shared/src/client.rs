//! The client's connection, on either transport and either revision, and a look at
//! what comes in on it.

use std::ops::Deref;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use futures::future::BoxFuture;
use rmcp::RoleClient;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig,
    ClientRequest, Implementation, ProgressToken, ProtocolVersion, RequestId, ServerResult,
};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, ClientServiceExt, PeerRequestOptions,
    RequestHandle, RunningService,
};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess, Transport};
use serde_json::Value;
use tokio::io::DuplexStream;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

pub use crate::arrivals::PATIENCE;
use crate::arrivals::{Arrivals, Noted, Progress, Traffic};
use crate::calls::{CallRecord, State, read_list};
use crate::in_order::InOrder;

/// Patience with a server that is asked again and again. Its pauses are counted, and not the time:
/// on a machine that is busy, or stands still, it lasts longer.
#[derive(Debug)]
pub struct Patience {
    left: Duration,
    pause: Duration,
}

impl Patience {
    /// The pauses together take so long.
    pub fn of(left: Duration) -> Self {
        Self { left, pause: Duration::from_millis(2) }
    }

    /// Waits until it is time to ask again; false if it has run out. The pause doubles, up to
    /// 100 ms: an answer that comes soon is seen at once, and a long wait costs little.
    pub async fn lasts(&mut self) -> bool {
        let pause = self.pause.min(self.left);
        sleep(pause).await;
        self.left -= pause;
        self.pause = Duration::from_millis(100).min(pause * 2);
        !pause.is_zero()
    }
}

/// A connected client. Derefs to rmcp's [`RunningService`], so a lesson calls rmcp itself.
#[derive(Debug)]
pub struct Client {
    service: RunningService<RoleClient, ClientConfig>,
    arrivals: Arrivals,
    patience: Duration,
}

impl Deref for Client {
    type Target = RunningService<RoleClient, ClientConfig>;

    fn deref(&self) -> &Self::Target {
        &self.service
    }
}

/// The request that calls a tool. `arguments` is a JSON object, or null for none.
///
/// rmcp's `call_tool` builds the same request, sends it and waits. A lesson that wants the
/// request's id must send it itself, with `send_cancellable_request`.
///
/// # Panics
///
/// If `arguments` is any other JSON: a tool's arguments have names.
pub fn tool_call(name: &'static str, arguments: Value) -> ClientRequest {
    let mut params = CallToolRequestParams::new(name);
    match arguments {
        Value::Null => {}
        Value::Object(arguments) => params = params.with_arguments(arguments),
        other => panic!("the arguments of {name} must be a JSON object, not {other}"),
    }
    ClientRequest::CallToolRequest(CallToolRequest::new(params))
}

/// For a call that may take long but must not fall silent: gives up when no progress has
/// come for [`PATIENCE`], so that a lesson against a dead server ends.
pub fn patient() -> PeerRequestOptions {
    PeerRequestOptions::with_timeout(PATIENCE).reset_timeout_on_progress()
}

/// The result of a tool, taken out of the answer to [`tool_call`]. A tool that failed says
/// so inside its result (`isError`): that is an error here.
pub fn tool_result(answer: ServerResult) -> anyhow::Result<CallToolResult> {
    match answer {
        ServerResult::CallToolResult(result) if result.is_error == Some(true) => {
            bail!("{}", text_of(&result))
        }
        ServerResult::CallToolResult(result) => Ok(result),
        other => bail!("not the result of a tool: {other:?}"),
    }
}

impl Client {
    /// Connects to a server over Streamable HTTP.
    pub async fn http(url: &str, protocol: ProtocolVersion) -> anyhow::Result<Self> {
        Self::http_as(ClientCapabilities::default(), url, protocol).await
    }

    /// Connects over Streamable HTTP, declaring these capabilities.
    pub fn http_as(
        capabilities: ClientCapabilities,
        url: &str,
        protocol: ProtocolVersion,
    ) -> BoxFuture<'_, anyhow::Result<Self>> {
        let transport = StreamableHttpClientTransport::from_uri(url);
        // A box, as below: an `async fn` is compiled where it is awaited, so in each lesson.
        Box::pin(async move {
            let hint = "start one with `serve` in another terminal, or name its address with --url";
            let connected = Self::connect(transport, capabilities, protocol).await;
            connected.with_context(|| format!("no MCP server answers at {url}; {hint}"))
        })
    }

    /// Starts a server as a child process and connects to its standard input and output,
    /// declaring these capabilities.
    pub fn child_as(
        capabilities: ClientCapabilities,
        mut command: Command,
        protocol: ProtocolVersion,
    ) -> BoxFuture<'static, anyhow::Result<Self>> {
        // A terminal sends Ctrl-C to its whole foreground group. It is meant for the client,
        // and a server that ends at the same moment leaves nobody to ask.
        #[cfg(unix)]
        command.process_group(0);
        let program = command.as_std().get_program().display().to_string();
        Box::pin(async move {
            let transport = TokioChildProcess::new(command)
                .with_context(|| format!("cannot start {program}"))?;
            let connected = Self::connect(transport, capabilities, protocol).await;
            connected
                .with_context(|| format!("{program} does not speak MCP on its standard output"))
        })
    }

    /// Connects to a server at the other end of a pipe, declaring these capabilities.
    pub fn pipe_as(
        capabilities: ClientCapabilities,
        pipe: DuplexStream,
        protocol: ProtocolVersion,
    ) -> BoxFuture<'static, anyhow::Result<Self>> {
        let (input, output) = tokio::io::split(pipe);
        let transport = AsyncRwTransport::new_client(input, output);
        Box::pin(Self::connect(transport, capabilities, protocol))
    }

    async fn connect<T>(
        transport: T,
        capabilities: ClientCapabilities,
        protocol: ProtocolVersion,
    ) -> anyhow::Result<Self>
    where
        T: Transport<RoleClient> + 'static,
    {
        let arrivals = Arrivals::default();
        let noted = Noted { inner: InOrder(transport), arrivals: arrivals.clone() };
        let me = Implementation::new("mcp-cancellation-lessons", env!("CARGO_PKG_VERSION"));
        let config = ClientConfig::new(capabilities, me).with_protocol_version(protocol.clone());
        // 2025-11-25 opens with the `initialize` handshake. 2026-07-28 has none: the client
        // may look around with `server/discover`, and every request speaks for itself.
        let lifecycle = if protocol == ProtocolVersion::V_2026_07_28 {
            ClientLifecycleMode::Discover { preferred_versions: vec![protocol] }
        } else {
            ClientLifecycleMode::Initialize
        };
        let service = timeout(PATIENCE, config.serve_with_lifecycle(noted, lifecycle))
            .await
            .context("the server accepted the connection but said nothing")?
            .map_err(|error| match error {
                // rmcp prints the types of its transport too. What went wrong is inside.
                ClientInitializeError::TransportError { error, .. } => anyhow!(error.error),
                other => other.into(),
            })?;
        Ok(Self { service, arrivals, patience: PATIENCE })
    }

    /// The same client, which asks for so long until a call has ended, instead of [`PATIENCE`].
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// All progress that comes in from now on. Take it before the call: the first
    /// notification may be faster than the caller's next line.
    pub fn progress(&self) -> Progress {
        self.arrivals.progress()
    }

    /// What has come in for a request so far.
    pub fn traffic(&self, id: &RequestId, token: &ProgressToken) -> Traffic {
        self.arrivals.traffic(id, token)
    }

    /// Calls a tool and waits for its result, for at most [`PATIENCE`].
    pub async fn call(
        &self,
        name: &'static str,
        arguments: Value,
    ) -> anyhow::Result<CallToolResult> {
        let answer = timeout(PATIENCE, self.send_request(tool_call(name, arguments))).await;
        let answer = answer.with_context(|| format!("{name} gave no answer"))??;
        tool_result(answer).with_context(|| format!("{name} answered with an error"))
    }

    /// Starts a call that reports its steps, and returns when the server says that it has done one.
    /// An error if it ends before that, or has done none within [`PATIENCE`].
    pub async fn at_work(
        &self,
        name: &'static str,
        arguments: Value,
    ) -> anyhow::Result<RequestHandle<RoleClient>> {
        let before = self.newest(name).await?;
        let call = tool_call(name, arguments);
        let mut handle = self.send_cancellable_request(call, patient()).await?;
        let mut patience = Patience::of(PATIENCE);
        loop {
            if let Ok(answer) = handle.rx.try_recv() {
                bail!("{name} ended before it could be cancelled: {answer:?}");
            }
            // An earlier call, of another connection, may have had the same id.
            let ours = |call: &CallRecord| call.call > before && call.request_id == handle.id;
            let at_work = |call: &CallRecord| call.state == State::Running && call.steps_done > 0;
            if self.list_calls().await?.iter().any(|call| ours(call) && at_work(call)) {
                return Ok(handle);
            }
            ensure!(patience.lasts().await, "{name} has done no step within {PATIENCE:?}");
        }
    }

    /// Asks the server for its list of calls.
    pub async fn list_calls(&self) -> anyhow::Result<Vec<CallRecord>> {
        let result = self.call("list_calls", Value::Null).await?;
        let content = result.structured_content.context("list_calls has no structured content")?;
        Ok(read_list(content)?)
    }

    /// The number that the server gave to the newest call of this tool; 0 if it lists none.
    ///
    /// Ask before a call and after its start: the number that is new is the call's. A request id
    /// would not do, since ids start over with each connection and change on their way through
    /// a bridge.
    pub async fn newest(&self, tool: &str) -> anyhow::Result<u64> {
        let calls = self.list_calls().await?;
        Ok(calls.iter().rfind(|call| call.tool == tool).map_or(0, |call| call.call))
    }

    /// What the server says of the call with this number of its own. An error if it lists none.
    pub async fn ask(&self, call: u64) -> anyhow::Result<CallRecord> {
        found(self.list_calls().await?, call)
    }

    /// Waits for the end, as [`Self::ask_until_ended`], of the newest call with this request id.
    pub async fn ask_by_id(&self, id: &RequestId) -> anyhow::Result<CallRecord> {
        let calls = self.list_calls().await?;
        let found = calls.iter().rfind(|call| call.request_id == *id);
        let call = found.with_context(|| format!("the server never saw request {id}"))?.call;
        self.ask_until_ended(call).await
    }

    /// Asks the server until it says that the call no longer runs, as long as its patience lasts.
    /// Returns its last word on the call.
    pub async fn ask_until_ended(&self, call: u64) -> anyhow::Result<CallRecord> {
        found(self.ask_while_running(|record| record.call == call).await?, call)
    }

    /// Asks the server, as long as its patience lasts, until it says that nothing runs any more.
    /// Returns its last list.
    pub async fn ask_until_all_ended(&self) -> anyhow::Result<Vec<CallRecord>> {
        self.ask_while_running(|_| true).await
    }

    async fn ask_while_running(
        &self,
        wanted: impl Fn(&CallRecord) -> bool,
    ) -> anyhow::Result<Vec<CallRecord>> {
        let mut patience = Patience::of(self.patience);
        loop {
            let calls = self.list_calls().await?;
            let running = |call: &CallRecord| call.state == State::Running && wanted(call);
            if !calls.iter().any(running) || !patience.lasts().await {
                return Ok(calls);
            }
        }
    }

    /// Closes the connection and waits until that is done.
    pub async fn close(self) -> anyhow::Result<()> {
        self.service.cancel().await?;
        Ok(())
    }
}

/// The call with this number.
fn found(calls: Vec<CallRecord>, call: u64) -> anyhow::Result<CallRecord> {
    let found = calls.into_iter().find(|record| record.call == call);
    found.with_context(|| format!("the server lists no call {call}: did another process run it?"))
}

/// The text of a tool's result.
pub fn text_of(result: &CallToolResult) -> String {
    let texts = result.content.iter().filter_map(|block| block.as_text());
    texts.map(|text| text.text.as_str()).collect::<Vec<_>>().join("\n")
}

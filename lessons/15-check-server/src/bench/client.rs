//! A lean client: a connection a call, and the moment at which each thing happens.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use axum::body::{Body, to_bytes};
use futures::future::ready;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sse_stream::SseStream;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::target::{PROBE, Tool};
use crate::wire::Revision;

/// How long a server may take for anything that is no work.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The longest answer that is read: a list of all calls that a server runs.
const LONGEST: usize = 64 << 20;

/// Where a server listens.
#[derive(Debug)]
pub struct Target {
    addr: SocketAddr,
    authority: String,
    path: String,
}

impl Target {
    pub async fn find(url: &str) -> anyhow::Result<Arc<Self>> {
        let parsed = reqwest::Url::parse(url).with_context(|| format!("`{url}` is no URL"))?;
        let (Some(host), Some(port)) = (parsed.host_str(), parsed.port_or_known_default()) else {
            bail!("`{url}` names no host");
        };
        let bare = host.trim_matches(['[', ']']);
        let found = tokio::net::lookup_host((bare, port)).await;
        let mut all = found.with_context(|| format!("`{host}` has no address"))?;
        // A name may stand for two addresses, and the server may listen at one of them.
        let addr = loop {
            let next = all.next().with_context(|| format!("nothing listens at `{host}:{port}`"))?;
            if TcpStream::connect(next).await.is_ok() {
                break next;
            }
        };
        Ok(Arc::new(Self {
            addr,
            authority: format!("{host}:{port}"),
            path: parsed.query().map_or_else(
                || parsed.path().to_owned(),
                |query| format!("{}?{query}", parsed.path()),
            ),
        }))
    }

    /// The server's clock is ours.
    pub fn is_here(&self) -> bool {
        match self.addr.ip() {
            IpAddr::V4(ip) => ip.is_loopback(),
            IpAddr::V6(ip) => ip.is_loopback(),
        }
    }
}

/// A connection. Dropped, it is closed.
#[derive(Debug)]
pub struct Line {
    send: SendRequest<Body>,
    driver: AbortHandle,
}

impl Line {
    pub async fn open(target: &Target) -> anyhow::Result<Self> {
        let tcp = timeout(PATIENCE, TcpStream::connect(target.addr)).await??;
        tcp.set_nodelay(true)?;
        let (send, connection) = handshake(TokioIo::new(tcp)).await?;
        let driver = tokio::spawn(connection.map(drop)).abort_handle();
        Ok(Self { send, driver })
    }

    /// Waits until the last answer is read; opens the connection anew if the server has closed it.
    pub async fn ready(&mut self, target: &Target) -> anyhow::Result<()> {
        if self.send.ready().await.is_err() {
            *self = Self::open(target).await?;
        }
        Ok(())
    }

    /// Sends now, and reads when the messages are asked for.
    pub fn post(&mut self, request: Request<Body>) -> Messages {
        let answer = self.send.send_request(request);
        stream::once(async { messages(answer.await?).await }).try_flatten().boxed()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What the server says in answer to a POST.
pub type Messages = BoxStream<'static, anyhow::Result<Value>>;

async fn messages(response: Response<Incoming>) -> anyhow::Result<Messages> {
    let status = response.status();
    let kind = response.headers().get("content-type");
    let events = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let body = Body::new(response.into_body());
    if events {
        let events = SseStream::from_bytes_stream(body.into_data_stream());
        return Ok(events
            .map_err(|error| anyhow!("the stream broke: {error}"))
            // The first event of a stream may be empty: it only has an id.
            .try_filter_map(|event| {
                ready(Ok(event.data.and_then(|data| serde_json::from_str(&data).ok())))
            })
            .boxed());
    }
    let body = to_bytes(body, LONGEST).await?;
    let message = serde_json::from_slice::<Value>(&body).ok();
    if message.is_none() && !status.is_success() {
        let said = String::from_utf8_lossy(&body);
        bail!("the server answered with status {status} {}", crate::lane::plain(said.trim()));
    }
    Ok(stream::iter(message.map(Ok)).boxed())
}

/// A client of its own: a session in 2025-11-25, and a range of ids.
#[derive(Debug)]
pub struct Session {
    pub target: Arc<Target>,
    pub revision: Revision,
    /// What the handshake has agreed on.
    agreed: String,
    name: Option<String>,
    ids: AtomicI64,
}

impl Session {
    pub async fn open(target: &Arc<Target>, revision: Revision) -> anyhow::Result<Self> {
        let range = uuid::Uuid::new_v4().as_u128() % 1_000_000;
        let ids = AtomicI64::new(i64::try_from(range)? * 100_000 + 1);
        let mut session = Self {
            target: target.clone(),
            revision,
            agreed: revision.name().to_owned(),
            name: None,
            ids,
        };
        if revision == Revision::Stateless {
            return Ok(session);
        }
        let mut line = Line::open(target).await?;
        let hello = json!({ "jsonrpc": "2.0", "id": session.next_id(), "method": "initialize",
            "params": { "protocolVersion": revision.name(), "capabilities": {},
                "clientInfo": { "name": "mcp-cancel-check", "version": "1" } } });
        let response =
            timeout(PATIENCE, line.send.send_request(session.request(&hello)?)).await??;
        let name = response.headers().get("mcp-session-id");
        session.name = name.map(|name| name.to_str().map(str::to_owned)).transpose()?;
        let heard = async { messages(response).await?.try_collect::<Vec<_>>().await };
        for message in timeout(PATIENCE, heard).await?? {
            if let Some(agreed) = message["result"]["protocolVersion"].as_str() {
                agreed.clone_into(&mut session.agreed);
            }
        }
        let ready_now = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        line.ready(target).await?;
        timeout(PATIENCE, read_all(line.post(session.request(&ready_now)?))).await?;
        Ok(session)
    }

    fn next_id(&self) -> i64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Ends the session, if the server has such.
    pub async fn close(&self) {
        if self.name.is_none() {
            return;
        }
        let ending = async {
            let mut line = Line::open(&self.target).await?;
            let mut request = self.request(&Value::Null)?;
            *request.method_mut() = Method::DELETE;
            line.send.send_request(request).await?;
            anyhow::Ok(())
        };
        // It is a courtesy: what it would end has ended.
        let _ = timeout(PATIENCE, ending).await;
    }

    fn request(&self, message: &Value) -> anyhow::Result<Request<Body>> {
        let mut request = Request::post(&self.target.path)
            .header("host", &self.target.authority)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        let method = message["method"].as_str();
        if method != Some("initialize") {
            request = request.header("mcp-protocol-version", &self.agreed);
        }
        if let Some(name) = &self.name {
            request = request.header("mcp-session-id", name);
        }
        if let (Revision::Stateless, Some(method)) = (self.revision, method) {
            request = request.header("mcp-method", method);
            if let Some(name) = message["params"]["name"].as_str() {
                request = request.header("mcp-name", name);
            }
        }
        Ok(request.body(Body::from(message.to_string()))?)
    }

    fn message(&self, id: i64, method: &str, mut params: Value) -> Value {
        if self.revision == Revision::Stateless {
            let meta = &mut params["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = json!(self.revision.name());
            meta["io.modelcontextprotocol/clientInfo"] =
                json!({ "name": "mcp-cancel-check", "version": "1" });
            meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
        }
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
    }

    /// Sends a request and waits for its result. The line is free again then.
    pub async fn ask(&self, line: &mut Line, method: &str, params: Value) -> anyhow::Result<Value> {
        let id = self.next_id();
        let request = self.request(&self.message(id, method, params))?;
        line.ready(&self.target).await?;
        let answered = async {
            let mut messages = line.post(request);
            let mut answer = None;
            while let Some(message) = messages.next().await {
                let message = message?;
                if message["id"] == id {
                    answer = Some(message);
                }
            }
            answer.with_context(|| format!("`{method}` was not answered"))
        };
        let answered = timeout(PATIENCE, answered).await;
        let mut answer =
            answered.with_context(|| format!("`{method}` was not answered in time"))??;
        match crate::wire::log::error(&answer) {
            Some(error) => {
                let why = crate::lane::plain(&error["message"].to_string());
                bail!("`{method}` was refused: {why}")
            }
            None => Ok(answer["result"].take()),
        }
    }

    /// Starts a call, on a connection of its own.
    pub async fn start(&self, tool: &Tool) -> anyhow::Result<Call> {
        let id = self.next_id();
        let label = format!("bench {id}");
        let mut arguments = tool.arguments.clone();
        if tool.name == PROBE {
            arguments["id"] = json!(label);
        }
        let params = json!({ "name": tool.name, "arguments": arguments,
            "_meta": { "progressToken": id } });
        let request = self.request(&self.message(id, "tools/call", params))?;
        let mut line = Line::open(&self.target).await?;
        let messages = line.post(request);
        Ok(Call { name: Name { id, label }, line, messages })
    }

    /// The notification that cancels the call, ready to be sent.
    pub fn cancel(&self, call: &Name) -> anyhow::Result<Request<Body>> {
        let params = json!({ "requestId": call.id, "reason": "bench" });
        self.request(&crate::wire::cancelled(params))
    }
}

/// What a call is found by.
#[derive(Debug, Clone)]
pub struct Name {
    pub id: i64,
    pub label: String,
}

/// A call at work. Dropped, its connection is closed.
pub struct Call {
    pub name: Name,
    messages: Messages,
    /// Closed with the call.
    #[allow(dead_code, reason = "it is held, not used")]
    line: Line,
}

impl Call {
    /// Waits for a sign that the tool is at work.
    pub async fn progress(&mut self) -> anyhow::Result<()> {
        while let Some(message) = self.messages.next().await {
            let message = message?;
            if message["method"] == "notifications/progress" {
                return Ok(());
            }
            if message["id"] == self.name.id {
                let said = crate::lane::plain(&message.to_string());
                bail!("the call ended before it could be cancelled: {said}");
            }
        }
        bail!("the call's stream ended before it could be cancelled")
    }

    /// Waits until the server ends the call's stream.
    pub async fn end(&mut self) {
        read_all(&mut self.messages).await;
    }
}

/// Reads to the end. A broken stream is one, too.
pub async fn read_all(messages: impl stream::Stream<Item = anyhow::Result<Value>>) {
    let mut messages = std::pin::pin!(messages);
    while let Some(Ok(_)) = messages.next().await {}
}

//! A client that writes its requests by hand: it chooses the id, and which replica it speaks to.

use anyhow::{Context, Result, bail, ensure};
use hosting::cancel::REQUEST_CANCELLED;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use shared::calls::{CallRecord, State, read_list};
use shared::client::{PATIENCE, Patience};
use tokio::time::timeout;

/// The revision that has sessions.
pub const V2025: &str = "2025-11-25";
/// The revision that has none.
pub const V2026: &str = "2026-07-28";

/// A session of 2025-11-25, or a caller on 2026-07-28, which needs none.
#[derive(Clone)]
pub struct Caller {
    http: Client,
    url: String,
    /// The session's id, as the server made it.
    pub session: Option<String>,
}

impl Caller {
    /// Opens a session of 2025-11-25.
    pub async fn open(url: &str) -> Result<Self> {
        let mut caller = Self::without_session(url)?;
        let params = json!({
            "protocolVersion": V2025,
            "clientInfo": { "name": "scale-out", "version": "0" },
            "capabilities": {}
        });
        let opened = caller.send(V2025, message(Some("initialize".into()), "initialize", &params));
        let opened = opened.await?.error_for_status()?;
        let session = opened.headers().get("mcp-session-id").context("no session was opened")?;
        caller.session = Some(session.to_str()?.to_owned());
        Ok(caller)
    }

    /// Tells that the session is open, as every client does. The status is the answer.
    pub async fn initialized(&self) -> Result<StatusCode> {
        let message = message(None, "notifications/initialized", &json!({}));
        Ok(self.send(V2025, message).await?.status())
    }

    /// Opens a session, and insists that it can be used.
    pub async fn session(url: &str) -> Result<Self> {
        let caller = Self::open(url).await?;
        let status = caller.initialized().await?;
        ensure!(status.is_success(), "a session was opened and is not known: {status}");
        Ok(caller)
    }

    /// A caller on 2026-07-28.
    pub fn without_session(url: &str) -> Result<Self> {
        let http = Client::builder().no_proxy().build()?;
        Ok(Self { http, url: url.to_owned(), session: None })
    }

    /// The same session, by way of another address.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    fn request(&self, method: Method, revision: &str) -> RequestBuilder {
        let mut request = self
            .http
            .request(method, &self.url)
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json")
            .header("mcp-protocol-version", revision);
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        request
    }

    async fn send(&self, revision: &str, message: Value) -> Result<Response> {
        let mut request = self.request(Method::POST, revision).body(message.to_string());
        if revision == V2026 {
            request = request.header("mcp-method", message["method"].as_str().unwrap_or_default());
            let params = &message["params"];
            if let Some(name) = params["name"].as_str().or(params["taskId"].as_str()) {
                request = request.header("mcp-name", name);
            }
        }
        Ok(timeout(PATIENCE, request.send()).await.context("no head of a response came")??)
    }

    /// Starts work of this many steps. It reports its progress.
    pub async fn work(&self, id: &Value, steps: u32) -> Result<Events> {
        let mut params = tool("process_large_file", &work(steps));
        params["_meta"]["progressToken"] = json!(id);
        let revision = if self.session.is_some() { V2025 } else { V2026 };
        let request = in_words_of(revision, &[], params);
        let response = self.send(revision, message(Some(id.clone()), "tools/call", &request));
        let response = response.await?;
        let status = response.status();
        // 2026-07-28 has no sessions: there, 404 says something else.
        let known = self.session.is_none() || status != StatusCode::NOT_FOUND;
        ensure!(known, "a session was opened and is not known: {status}");
        Ok(Events { response: response.error_for_status()?, buffer: Vec::new() })
    }

    /// A request of 2026-07-28 that is not awaited: work of this many steps that says nothing
    /// before its result. Drop the future to close its stream.
    pub async fn silent_work(&self, id: &Value, steps: u32) -> Result<Response> {
        let params = in_words_of(V2026, &[], tool("process_large_file", &work(steps)));
        let message = message(Some(id.clone()), "tools/call", &params);
        let request = self.request(Method::POST, V2026).body(message.to_string());
        let request = request.header("mcp-method", "tools/call");
        Ok(request.header("mcp-name", "process_large_file").send().await?)
    }

    /// Cancels a request of this session. The status is the answer.
    pub async fn cancel(&self, id: &Value) -> Result<StatusCode> {
        let params = json!({ "requestId": id, "reason": "no longer wanted" });
        Ok(self.send(V2025, message(None, "notifications/cancelled", &params)).await?.status())
    }

    /// Ends the session.
    pub async fn delete(&self) -> Result<StatusCode> {
        let delete = self.request(Method::DELETE, V2025).send();
        Ok(timeout(PATIENCE, delete).await.context("DELETE gave no answer")??.status())
    }

    /// Asks on 2026-07-28, as a client that takes tasks or one that does not. Returns the whole
    /// answer: it may be an error.
    pub async fn ask(&self, method: &str, params: Value, tasks: bool) -> Result<Value> {
        let extensions: &[&str] = if tasks { &["io.modelcontextprotocol/tasks"] } else { &[] };
        let params = in_words_of(V2026, extensions, params);
        let response = self.send(V2026, message(Some(1u32.into()), method, &params)).await?;
        let body = timeout(PATIENCE, response.text()).await.context("half an answer came")??;
        // One JSON body, or a stream of one event.
        let data = body.lines().filter_map(|line| line.strip_prefix("data:"));
        let last = data.map(str::trim).rfind(|data| !data.is_empty());
        serde_json::from_str(last.unwrap_or(&body)).with_context(|| format!("odd answer: {body}"))
    }

    /// What this replica says of its calls.
    pub async fn calls(&self) -> Result<Vec<CallRecord>> {
        let answer = self.ask("tools/call", tool("list_calls", &json!({})), false).await?;
        let list = answer["result"]["structuredContent"].clone();
        read_list(list).with_context(|| format!("list_calls answered {answer}"))
    }

    /// The same, when none of those runs any more.
    pub async fn calls_when_ended(&self) -> Result<Vec<CallRecord>> {
        let mut patience = Patience::of(6 * PATIENCE);
        loop {
            let calls = self.calls().await?;
            if calls.iter().all(|call| call.state != State::Running) {
                return Ok(calls);
            }
            ensure!(patience.lasts().await, "calls run on for ever: {calls:?}");
        }
    }
}

/// The events of a response.
pub struct Events {
    response: Response,
    buffer: Vec<u8>,
}

impl Events {
    /// Waits for the next message.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<_> = self.buffer.drain(..end + 2).collect();
                let event = String::from_utf8(event)?;
                let data = event.lines().find_map(|line| line.strip_prefix("data:"));
                match data.map(str::trim).filter(|data| !data.is_empty()) {
                    Some(data) => return Ok(Some(serde_json::from_str(data)?)),
                    None => continue,
                }
            }
            let more = timeout(PATIENCE, self.response.chunk()).await;
            match more.context("a stream has fallen silent")?? {
                Some(bytes) => self.buffer.extend(bytes),
                None => return Ok(None),
            }
        }
    }

    /// Waits until the work has said that it runs.
    pub async fn runs(&mut self) -> Result<()> {
        match self.next().await? {
            Some(message) if message["method"] == "notifications/progress" => Ok(()),
            other => bail!("the call did not start: {other:?}"),
        }
    }

    /// Reads to the end, and returns the last message.
    pub async fn last(mut self) -> Result<Option<Value>> {
        let mut last = None;
        while let Some(message) = self.next().await? {
            last = Some(message);
        }
        Ok(last)
    }

    /// Reads to the end: was the call closed as cancelled, or is there a result?
    pub async fn is_cancelled(self) -> Result<bool> {
        match self.last().await? {
            Some(last) if last["error"]["code"] == REQUEST_CANCELLED.0 => Ok(true),
            Some(last) if last.get("result").is_some() => Ok(false),
            other => bail!("a call ended with neither a result nor \"cancelled\": {other:?}"),
        }
    }
}

/// The params of a tool call.
pub fn tool(name: &str, arguments: &Value) -> Value {
    json!({ "name": name, "arguments": arguments })
}

/// Arguments for work of this many steps.
pub fn work(steps: u32) -> Value {
    json!({ "filename": "part_0.csv", "processing_time": steps })
}

fn message(id: Option<Value>, method: &str, params: &Value) -> Value {
    let mut message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
    if let Some(id) = id {
        message["id"] = json!(id);
    }
    message
}

/// On 2026-07-28 every request says which revision it speaks, and what its client can do.
fn in_words_of(revision: &str, extensions: &[&str], mut params: Value) -> Value {
    if revision == V2026 {
        let declared: Value =
            extensions.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
        let meta = &mut params["_meta"];
        meta["io.modelcontextprotocol/protocolVersion"] = json!(revision);
        meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "scale-out", "version": "0" });
        meta["io.modelcontextprotocol/clientCapabilities"] = json!({ "extensions": declared });
    }
    params
}

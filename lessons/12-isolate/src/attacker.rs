//! A client that writes the protocol by hand, because no client library would send all this.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use course::lesson::Protocol;
use course::stage::Stage;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use shared::calls::{CallRecord, State, read_list};
use shared::client::Patience;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, Lines};
use tokio::process::Child;
use tokio::sync::Mutex;
use tokio::time::{Duration, timeout};

/// A client: over HTTP, or at the other end of a pipe. Clones share its session, or its pipe.
#[derive(Clone)]
pub(crate) struct Attacker {
    /// The session that it has (2025-11-25).
    pub(crate) session: Option<String>,
    protocol: Protocol,
    http: reqwest::Client,
    url: String,
    pipe: Option<Arc<Mutex<Pipe>>>,
    /// How long it waits for whatever a server should do.
    pub(crate) patience: Duration,
}

/// A request that was sent. Over HTTP, to drop it is to hang up.
pub(crate) enum Sent {
    Http(Response),
    Pipe(Value),
}

/// A whole response: its head (HTTP), and its last message.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) head: HeaderMap,
    /// The answer to the request; null if there is none.
    pub(crate) answer: Value,
}

impl Reply {
    /// A tool has answered, and has not failed.
    pub(crate) fn is_result(&self) -> bool {
        let result = &self.answer["result"];
        result.is_object() && result["isError"] != true
    }
}

impl Attacker {
    /// A client that has not said anything yet.
    pub(crate) fn new(stage: &Stage) -> anyhow::Result<Self> {
        let url = stage.url().unwrap_or_default().to_owned();
        let pipe =
            if url.is_empty() { Some(Arc::new(Mutex::new(Pipe::open(stage)?))) } else { None };
        Ok(Self {
            session: None,
            protocol: stage.protocol,
            http: reqwest::Client::new(),
            url,
            pipe,
            patience: stage.patience,
        })
    }

    /// Opens a session, if the revision has them. The reply is not looked at.
    pub(crate) async fn open(&mut self) -> anyhow::Result<Option<Reply>> {
        if self.protocol == Protocol::V2026 {
            return Ok(None);
        }
        let params = json!({
            "protocolVersion": self.protocol.to_string(),
            "clientInfo": { "name": "attacker", "version": "0" },
            "capabilities": {}
        });
        let opened = self.post(&self.request(&json!("initialize"), "initialize", params)).await?;
        if let Some(session) = opened.head.get("mcp-session-id") {
            self.session = Some(session.to_str()?.to_owned());
        }
        if self.session.is_some() || self.pipe.is_some() {
            self.notify("notifications/initialized", json!({})).await?;
        }
        Ok(Some(opened))
    }

    /// A request of any method.
    pub(crate) fn request(&self, id: &Value, method: &str, mut params: Value) -> Value {
        if self.protocol == Protocol::V2026 {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": self.protocol.to_string(),
                "io.modelcontextprotocol/clientInfo": { "name": "attacker", "version": "0" },
                "io.modelcontextprotocol/clientCapabilities": {},
                // On HTTP the head of a response comes with its first message. Progress is one.
                "progressToken": id,
            });
        }
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
    }

    /// A call of so many steps.
    pub(crate) fn call(&self, id: impl Into<Value>, steps: u32) -> Value {
        let arguments = json!({ "filename": "part_0.csv", "processing_time": steps });
        let params = json!({ "name": "process_large_file", "arguments": arguments });
        self.request(&id.into(), "tools/call", params)
    }

    /// Headers that every request has, and a method.
    pub(crate) fn http(&self, method: Method) -> RequestBuilder {
        let mut request = self
            .http
            .request(method, &self.url)
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json")
            .header("mcp-protocol-version", self.protocol.to_string());
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        request
    }

    /// Sends a message. Over HTTP the head of its response is there when this returns.
    pub(crate) async fn start(&self, message: &Value) -> anyhow::Result<Sent> {
        if let Some(pipe) = &self.pipe {
            pipe.lock().await.send(message).await?;
            return Ok(Sent::Pipe(message["id"].clone()));
        }
        let mut request = self.http(Method::POST).body(message.to_string());
        if self.protocol == Protocol::V2026 {
            let about = &message["params"];
            request = request.header("mcp-method", message["method"].as_str().unwrap_or_default());
            if let Some(about) = about["name"].as_str().or(about["taskId"].as_str()) {
                request = request.header("mcp-name", about);
            }
        }
        let sent =
            timeout(self.patience, request.send()).await.context("the server says nothing")??;
        Ok(Sent::Http(sent))
    }

    /// Reads a response to its end.
    pub(crate) async fn read(&self, sent: Sent) -> anyhow::Result<Reply> {
        let (status, head, answer) = match (sent, &self.pipe) {
            (Sent::Http(response), _) => {
                let (status, head) = (response.status(), response.headers().clone());
                let Ok(text) = timeout(self.patience, response.text()).await else {
                    bail!("no answer within {:?}", self.patience);
                };
                let text = text?;
                let mut data = text.lines().filter_map(|line| line.strip_prefix("data:"));
                let last = data.rfind(|data| !data.trim().is_empty()).unwrap_or(&text);
                (status, head, serde_json::from_str(last).unwrap_or_default())
            }
            (Sent::Pipe(id), Some(pipe)) if !id.is_null() => (
                StatusCode::OK,
                HeaderMap::new(),
                pipe.lock().await.answer(&id, self.patience).await?,
            ),
            // Nothing answers a notification.
            (Sent::Pipe(_), _) => (StatusCode::ACCEPTED, HeaderMap::new(), Value::Null),
        };
        Ok(Reply { status, head, answer })
    }

    /// Sends a message and waits for the whole response.
    pub(crate) async fn post(&self, message: &Value) -> anyhow::Result<Reply> {
        self.read(self.start(message).await?).await
    }

    async fn notify(&self, method: &str, params: Value) -> anyhow::Result<StatusCode> {
        let notification = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        Ok(self.post(&notification).await?.status)
    }

    /// Cancels a request of this client.
    pub(crate) async fn cancel(&self, id: impl Into<Value>) -> anyhow::Result<StatusCode> {
        self.cancel_because("an attack", id).await
    }

    /// The same, with another reason.
    pub(crate) async fn cancel_because(
        &self,
        reason: &str,
        id: impl Into<Value>,
    ) -> anyhow::Result<StatusCode> {
        let params = json!({ "requestId": id.into(), "reason": reason });
        self.notify("notifications/cancelled", params).await
    }

    /// A cancelled call has its end: the error -32800 on HTTP 2025-11-25, silence on stdio.
    pub(crate) async fn ends_cancelled(&self, sent: Sent) -> anyhow::Result<()> {
        if let (Sent::Pipe(id), Some(pipe)) = (&sent, &self.pipe) {
            let passed = &pipe.lock().await.passed;
            ensure!(!passed.contains(id), "a cancelled call was answered");
            return Ok(());
        }
        let code = self.read(sent).await?.answer["error"]["code"].clone();
        ensure!(code == -32800, "the cancelled call ended with {code}");
        Ok(())
    }

    /// Calls, and expects a result.
    pub(crate) async fn is_served(&self, id: impl Into<Value>) -> anyhow::Result<()> {
        let reply = self.post(&self.call(id, 1)).await?;
        ensure!(reply.is_result(), "{} {}", reply.status, reply.answer);
        Ok(())
    }

    /// Ends the session, if it has one, and with it its calls.
    pub(crate) async fn end(&self) -> anyhow::Result<()> {
        if self.session.is_some() {
            timeout(self.patience, self.http(Method::DELETE).send()).await??;
        }
        Ok(())
    }

    /// What the server lists.
    pub(crate) async fn calls(&self) -> anyhow::Result<Vec<CallRecord>> {
        let list = json!({ "name": "list_calls", "arguments": {} });
        let reply = self.post(&self.request(&json!("list"), "tools/call", list)).await?;
        let list = reply.answer["result"]["structuredContent"].clone();
        read_list(list).context("no list of calls")
    }

    /// The server's number of the newest call; 0 if there is none.
    pub(crate) async fn newest(&self) -> anyhow::Result<u64> {
        Ok(self.calls().await?.last().map_or(0, |call| call.call))
    }

    /// Asks until the server lists a call that is newer than this.
    pub(crate) async fn newer_than(&self, number: u64) -> anyhow::Result<u64> {
        let newer = |calls: &[CallRecord]| Some(calls.last()?.call).filter(|last| *last > number);
        self.until("the call did not start", newer).await
    }

    /// Asks until the server says that the call has ended.
    pub(crate) async fn ended(&self, number: u64) -> anyhow::Result<CallRecord> {
        let ended = |calls: &[CallRecord]| {
            let call = calls.iter().find(|call| call.call == number)?;
            (call.state != State::Running).then(|| call.clone())
        };
        self.until("the call did not end", ended).await
    }

    /// Asks the server for its list until this is found in it.
    pub(crate) async fn until<T>(
        &self,
        complaint: &str,
        find: impl Fn(&[CallRecord]) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut patience = Patience::of(self.patience * 3);
        loop {
            if let Some(found) = find(&self.calls().await?) {
                return Ok(found);
            }
            ensure!(patience.lasts().await, "{complaint}");
        }
    }
}

/// A server's standard input and output: one message a line.
struct Pipe {
    output: Box<dyn AsyncWrite + Send + Unpin>,
    input: Lines<BufReader<Box<dyn AsyncRead + Send + Unpin>>>,
    /// The ids of answers that nobody waited for.
    passed: Vec<Value>,
    /// The server, ended when this is dropped.
    _child: Option<Child>,
}

impl Pipe {
    fn open(stage: &Stage) -> anyhow::Result<Self> {
        fn pipe(
            input: impl AsyncRead + Send + Unpin + 'static,
            output: impl AsyncWrite + Send + Unpin + 'static,
            child: Option<Child>,
        ) -> Pipe {
            let input: Box<dyn AsyncRead + Send + Unpin> = Box::new(input);
            let input = BufReader::new(input).lines();
            Pipe { output: Box::new(output), input, passed: Vec::new(), _child: child }
        }
        if let Some(here) = stage.pipe() {
            let (input, output) = tokio::io::split(here);
            return Ok(pipe(input, output, None));
        }
        let mut server = stage.program(&["serve", "--transport", "stdio"])?;
        server.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = server.spawn()?;
        let ends = child.stdout.take().zip(child.stdin.take());
        let (input, output) = ends.context("a child has an input and an output")?;
        Ok(pipe(input, output, Some(child)))
    }

    async fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        self.output.write_all(format!("{message}\n").as_bytes()).await?;
        Ok(self.output.flush().await?)
    }

    /// Reads until the answer to this request comes. Each line may take so long.
    async fn answer(&mut self, id: &Value, patience: Duration) -> anyhow::Result<Value> {
        loop {
            let line = timeout(patience, self.input.next_line()).await;
            let line = line.context("the server says nothing")??.context("the server has gone")?;
            let message: Value = serde_json::from_str(&line)?;
            if message["id"] == *id {
                return Ok(message);
            }
            if !message["id"].is_null() {
                self.passed.push(message["id"].clone());
            }
        }
    }
}

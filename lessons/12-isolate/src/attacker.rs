//! A client that writes the protocol by hand, because no client library would send all this.

use anyhow::{Context, bail, ensure};
use course::lesson::Protocol;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use shared::client::PATIENCE;
use tokio::time::timeout;

/// A stranger to all other clients of the server.
pub struct Attacker {
    /// The session that it has (2025-11-25).
    pub session: Option<String>,
    http: reqwest::Client,
    url: String,
    protocol: Protocol,
}

/// A whole response: its head, and its last message.
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub head: HeaderMap,
    /// The answer to the request; null if there is none.
    pub answer: Value,
}

impl Reply {
    /// A tool has answered, and has not failed.
    pub fn is_result(&self) -> bool {
        let result = &self.answer["result"];
        result.is_object() && result["isError"] != true
    }
}

impl Attacker {
    /// A client without a session.
    pub fn new(url: &str, protocol: Protocol) -> Self {
        Self { session: None, http: reqwest::Client::new(), url: url.to_owned(), protocol }
    }

    /// The same attacker, about to open another session. Its connections are reused, so a flood
    /// of sessions does not run out of files.
    #[must_use]
    pub fn again(&self) -> Self {
        let (http, url) = (self.http.clone(), self.url.clone());
        Self { session: None, http, url, protocol: self.protocol }
    }

    /// Opens a session, if the revision has them. The reply is not looked at.
    pub async fn open(&mut self) -> anyhow::Result<Option<Reply>> {
        if self.protocol == Protocol::V2026 {
            return Ok(None);
        }
        let params = json!({
            "protocolVersion": self.protocol.to_string(),
            "clientInfo": { "name": "attacker", "version": "0" },
            "capabilities": {}
        });
        let hello = json!({
            "jsonrpc": "2.0", "id": "initialize", "method": "initialize", "params": params
        });
        let opened = self.post(&hello).await?;
        if let Some(session) = opened.head.get("mcp-session-id") {
            self.session = Some(session.to_str()?.to_owned());
            let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
            self.post(&ready).await?;
        }
        Ok(Some(opened))
    }

    /// A request of any method.
    pub fn request(&self, id: &Value, method: &str, mut params: Value) -> Value {
        if self.protocol == Protocol::V2026 {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": self.protocol.to_string(),
                "io.modelcontextprotocol/clientInfo": { "name": "attacker", "version": "0" },
                "io.modelcontextprotocol/clientCapabilities": {},
                // Here the head of a response comes with its first message. Progress is one.
                "progressToken": id,
            });
        }
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
    }

    /// A call of so many steps.
    pub fn call(&self, id: impl Into<Value>, steps: u32) -> Value {
        let arguments = json!({ "filename": "part_0.csv", "processing_time": steps });
        let params = json!({ "name": "process_large_file", "arguments": arguments });
        self.request(&id.into(), "tools/call", params)
    }

    /// Headers that every request has, and a method.
    pub fn http(&self, method: Method) -> RequestBuilder {
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

    /// POSTs a message and returns when the head of the response is there. To drop it is to hang
    /// up.
    pub async fn start(&self, message: &Value) -> anyhow::Result<Response> {
        let mut request = self.http(Method::POST).body(message.to_string());
        if self.protocol == Protocol::V2026 {
            let about = &message["params"];
            let about = about["name"].as_str().or(about["taskId"].as_str());
            request = request.header("mcp-method", message["method"].as_str().unwrap_or_default());
            request = about
                .map_or(request.try_clone(), |it| Some(request.header("mcp-name", it)))
                .context("a request with a body in memory can be cloned")?;
        }
        Ok(timeout(PATIENCE, request.send()).await.context("the server says nothing")??)
    }

    /// POSTs a message and waits for the whole response.
    pub async fn post(&self, message: &Value) -> anyhow::Result<Reply> {
        read(self.start(message).await?).await
    }

    /// Cancels a request of this client.
    pub async fn cancel(&self, id: impl Into<Value>) -> anyhow::Result<StatusCode> {
        let params = json!({ "requestId": id.into(), "reason": "an attack" });
        let cancel =
            json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
        Ok(self.post(&cancel).await?.status)
    }

    /// Calls, and expects a result.
    pub async fn is_served(&self, id: impl Into<Value>) -> anyhow::Result<()> {
        let reply = self.post(&self.call(id, 1)).await?;
        ensure!(reply.is_result(), "{} {}", reply.status, reply.answer);
        Ok(())
    }

    /// Ends the session, and with it its calls.
    pub async fn end(&self) -> anyhow::Result<StatusCode> {
        Ok(timeout(PATIENCE, self.http(Method::DELETE).send()).await??.status())
    }
}

/// Reads a response to its end.
pub async fn read(response: Response) -> anyhow::Result<Reply> {
    let (status, head) = (response.status(), response.headers().clone());
    let Ok(text) = timeout(PATIENCE, response.text()).await else {
        bail!("no answer within {PATIENCE:?}");
    };
    let text = text?;
    let mut data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    let last = data.rfind(|data| !data.trim().is_empty()).unwrap_or(&text);
    Ok(Reply { status, head, answer: serde_json::from_str(last).unwrap_or_default() })
}

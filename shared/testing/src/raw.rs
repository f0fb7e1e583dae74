//! A client that writes the protocol by hand: it sends what no client library would, and sees
//! what a library would hide.

use std::time::Duration;

use course::lesson::Protocol;
use futures::stream::{self, BoxStream, StreamExt};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use shared::calls::{CallRecord, State, read_list};
use sse_stream::{Sse, SseStream};
use tokio::time::{sleep, timeout};

pub const DEADLINE: Duration = Duration::from_secs(10);
pub const BOTH: [Protocol; 2] = [Protocol::V2025, Protocol::V2026];
pub const CANCELLED: &str = "notifications/cancelled";

/// Waits for what must come, and says what it was if it does not.
pub async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    within(DEADLINE, what, wait).await
}

pub async fn within<T>(deadline: Duration, what: &str, wait: impl Future<Output = T>) -> T {
    timeout(deadline, wait).await.unwrap_or_else(|_| panic!("{what}: not within {deadline:?}"))
}

pub fn request(protocol: Protocol, id: &Value, method: &str, mut params: Value) -> Value {
    if protocol == Protocol::V2026 {
        let meta = &mut params["_meta"];
        meta["io.modelcontextprotocol/protocolVersion"] = json!(protocol.to_string());
        meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "test", "version": "0" });
        meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
    }
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// The request that opens a session of 2025-11-25. Its id leaves the numbers to the tests.
pub fn initialize() -> Value {
    let params = json!({
        "protocolVersion": Protocol::V2025.to_string(),
        "clientInfo": { "name": "test", "version": "0" },
        "capabilities": {}
    });
    request(Protocol::V2025, &json!("initialize"), "initialize", params)
}

pub fn tool_call(protocol: Protocol, id: &Value, name: &str, arguments: &Value) -> Value {
    let meta = json!({ "progressToken": token(id) });
    let params = json!({ "name": name, "arguments": arguments, "_meta": meta });
    request(protocol, id, "tools/call", params)
}

pub fn notification(method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

/// The progress token of the call with this id.
pub fn token(id: &Value) -> String {
    format!("token of {id}")
}

/// Arguments of a call that takes this many steps.
pub fn steps(steps: u32) -> Value {
    json!({ "filename": "part_0.csv", "processing_time": steps })
}

pub fn is_progress(message: &Value) -> bool {
    message["method"] == "notifications/progress"
}

/// The text of a tool's result.
pub fn text(answer: &Value) -> &str {
    let text = answer["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("not the result of a tool: {answer}"))
}

pub fn assert_finished(answer: &Value) {
    assert_eq!(text(answer), "Successfully processed part_0.csv");
}

/// The messages are progress, and then one error -32800 for this id; no more.
pub fn assert_cancelled_once(messages: &[Value], id: &Value) {
    let (last, before) = messages.split_last().expect("the stream ended without a word");
    assert!(before.iter().all(is_progress), "{messages:?}");
    let error = json!({ "code": -32800, "message": "Request cancelled" });
    assert_eq!(*last, json!({ "jsonrpc": "2.0", "id": id, "error": error }));
}

/// The calls in the answer of `list_calls`.
pub fn calls_in(answer: &Value) -> Vec<CallRecord> {
    let list = answer["result"]["structuredContent"].clone();
    read_list(list).unwrap_or_else(|_| panic!("{answer}"))
}

pub fn find(calls: &[CallRecord], id: &Value) -> CallRecord {
    let found = calls.iter().rfind(|call| json!(call.request_id) == *id);
    found.unwrap_or_else(|| panic!("the server never saw request {id}: {calls:?}")).clone()
}

/// A client over HTTP: a session of 2025-11-25, or a caller on 2026-07-28.
pub struct RawClient {
    http: reqwest::Client,
    url: String,
    pub protocol: Protocol,
    pub session: Option<String>,
    capabilities: Value,
}

impl RawClient {
    pub async fn open(url: &str, protocol: Protocol) -> Self {
        Self::open_as(json!({}), url, protocol).await
    }

    /// A client that declares these capabilities: once, or on 2026-07-28 with every request.
    pub async fn open_as(capabilities: Value, url: &str, protocol: Protocol) -> Self {
        let (http, url) = (reqwest::Client::new(), url.to_owned());
        let mut client = Self { http, url, protocol, session: None, capabilities };
        if protocol == Protocol::V2025 {
            let mut hello = initialize();
            hello["params"]["capabilities"] = client.capabilities.clone();
            let opened = client.post(&hello).await;
            // A server without sessions gives none.
            let session = opened.headers().get("mcp-session-id");
            client.session = session.map(|session| session.to_str().unwrap().to_owned());
            client.notify("notifications/initialized", &json!({})).await;
        }
        client
    }

    /// A request with the headers that every one needs.
    pub fn http(&self, method: Method) -> RequestBuilder {
        let accept = match method {
            Method::GET => "text/event-stream",
            _ => "application/json, text/event-stream",
        };
        let mut request = self
            .http
            .request(method, &self.url)
            .header("accept", accept)
            .header("content-type", "application/json")
            .header("mcp-protocol-version", self.protocol.to_string());
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        request
    }

    pub async fn post(&self, message: &Value) -> Response {
        let mut request = self.http(Method::POST).body(message.to_string());
        if self.protocol == Protocol::V2026 {
            request = request.header("mcp-method", message["method"].as_str().unwrap());
            // What the request is about: a tool, or a task.
            let params = &message["params"];
            if let Some(name) = params["name"].as_str().or(params["taskId"].as_str()) {
                request = request.header("mcp-name", name);
            }
        }
        in_time("the head of a response", request.send()).await.unwrap()
    }

    pub async fn call(&self, id: impl Into<Value>, name: &str, arguments: &Value) -> Events {
        let mut call = tool_call(self.protocol, &id.into(), name, arguments);
        self.declare(&mut call);
        Events::of(self.post(&call).await).await
    }

    /// A request of any method.
    pub async fn request(&self, id: impl Into<Value>, method: &str, params: Value) -> Events {
        let mut message = request(self.protocol, &id.into(), method, params);
        self.declare(&mut message);
        Events::of(self.post(&message).await).await
    }

    /// The answer to a request of any method.
    pub async fn ask(&self, method: &str, params: Value) -> Value {
        self.request("ask", method, params).await.answer().await
    }

    fn declare(&self, request: &mut Value) {
        if self.protocol == Protocol::V2026 {
            let declared = self.capabilities.clone();
            request["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = declared;
        }
    }

    /// Starts a call of this many steps.
    pub async fn work(&self, id: impl Into<Value>, of: u32) -> Events {
        self.call(id, "process_large_file", &steps(of)).await
    }

    pub async fn notify(&self, method: &str, params: &Value) {
        let response = self.post(&notification(method, params)).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED, "{method} {params}");
    }

    pub async fn cancel(&self, id: impl Into<Value>) {
        self.notify(CANCELLED, &json!({ "requestId": id.into(), "reason": "a test" })).await;
    }

    /// Opens the session's GET stream, or takes up the stream of this event again.
    pub async fn listen(&self, last_id: Option<&str>) -> Events {
        let mut request = self.http(Method::GET);
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = in_time("a GET stream", request.send()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Events::of(response).await
    }

    /// Ends the session.
    pub async fn delete(&self) {
        let response = in_time("DELETE", self.http(Method::DELETE).send()).await.unwrap();
        assert!(response.status().is_success(), "{response:?}");
    }

    /// Ends the session, which ends its GET stream, and returns all that came on that one.
    /// No waiting could show as much: what was under way is out when the stream has ended.
    pub async fn close(&self, listening: Events) -> Vec<Value> {
        self.delete().await;
        listening.rest().await
    }

    pub async fn calls(&self) -> Vec<CallRecord> {
        calls_in(&self.call("list", "list_calls", &json!({})).await.answer().await)
    }

    /// Asks until the server says that the call no longer runs.
    pub async fn ended(&self, id: impl Into<Value>) -> CallRecord {
        let id = id.into();
        in_time("the end of a call", async {
            loop {
                let call = find(&self.calls().await, &id);
                if call.state != State::Running {
                    return call;
                }
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    pub async fn still_serves(&self) {
        assert_finished(&self.work("next", 1).await.answer().await);
    }
}

/// The messages of a response: a stream of server-sent events, or one JSON body.
pub struct Events {
    events: BoxStream<'static, Sse>,
    /// The id of the last event read.
    pub last_id: Option<String>,
}

impl Events {
    pub async fn of(response: Response) -> Self {
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        let events = if kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            let events = SseStream::from_bytes_stream(response.bytes_stream());
            events.map(|event| event.expect("a stream that ends, and is not cut")).boxed()
        } else {
            let body = in_time("a body", response.text()).await.unwrap();
            let body = (!body.is_empty()).then_some(body);
            stream::iter(body.map(|body| Sse::default().data(body))).boxed()
        };
        Self { events, last_id: None }
    }

    /// The next message; none if the response has come to its proper end.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            let event = in_time("the next event", self.events.next()).await?;
            if event.id.is_some() {
                self.last_id = event.id;
            }
            // Without data it is a ping, or the event that only gives an id to resume from.
            if let Some(data) = event.data.filter(|data| !data.is_empty()) {
                return Some(serde_json::from_str(&data).unwrap());
            }
        }
    }

    /// Waits until the call has told of its progress so many times.
    pub async fn progress(&mut self, times: usize) {
        for _ in 0..times {
            let message = self.next().await.expect("progress, not the end");
            assert!(is_progress(&message), "{message}");
        }
    }

    /// All that comes until the response ends.
    pub async fn rest(mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await {
            messages.push(message);
        }
        messages
    }

    /// The answer to the call: one, the last word of its response.
    pub async fn answer(self) -> Value {
        let mut messages = self.rest().await;
        let answer = messages.pop().expect("an answer, not an empty response");
        assert!(!is_progress(&answer) && messages.iter().all(is_progress), "{messages:?} {answer}");
        answer
    }
}

//! A task server on a real socket, and a client that has never heard of rmcp: JSON over HTTP.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::time::Duration;

use reqwest::{Response, StatusCode};
use rmcp::ServerHandler;
use serde_json::{Value, json};
use shared::server::Setup;
use tasks::store::Limits;
use tasks::tools::TaskServer;
pub use testing::hosted::{Hosted, setup};
use tokio::time::{sleep, timeout};

pub const DEADLINE: Duration = Duration::from_secs(10);
pub const TICK: Duration = Duration::from_millis(50);

/// The lesson's server, with these limits.
pub async fn serve(tasks: usize, ttl: Duration) -> Hosted {
    serve_as(Limits { tasks, ttl, poll_interval: TICK }, |server| server).await
}

/// What this makes of the lesson's server.
pub async fn serve_as<S>(limits: Limits, make: impl FnOnce(TaskServer) -> S) -> Hosted
where
    S: ServerHandler + Clone,
{
    let server = TaskServer::with_limits(Setup { tick: TICK, ..setup(0) }, limits).unwrap();
    Hosted::start(make(server)).await
}

/// A client of 2026-07-28.
pub struct Wire {
    http: reqwest::Client,
    url: String,
    capabilities: Value,
}

impl Wire {
    /// A client that declares the extension, with every request: there is nothing else to
    /// declare it with.
    pub fn to(server: &Hosted) -> Self {
        let capabilities = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
        Self { http: reqwest::Client::new(), url: server.url.clone(), capabilities }
    }

    /// A client that declares nothing.
    pub fn plain(server: &Hosted) -> Self {
        Self { capabilities: json!({}), ..Self::to(server) }
    }

    /// POSTs a request. Returns the status, and the one message of the response.
    pub async fn request(&self, method: &str, params: Value) -> (StatusCode, Value) {
        // For the routing of requests by proxies: whatever the request is about.
        let name = params.get("taskId").or(params.get("name")).and_then(Value::as_str);
        let name = name.unwrap_or_default().to_owned();
        self.request_named(&name, method, params).await
    }

    /// The same, with this `Mcp-Name`.
    pub async fn request_named(
        &self,
        name: &str,
        method: &str,
        mut params: Value,
    ) -> (StatusCode, Value) {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "0" },
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
        });
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let response = self.post(name, &message).await;
        let status = response.status();
        let body = timeout(DEADLINE, response.text()).await.expect("its end").unwrap();
        // One JSON body, or a stream of events with the answer in the last.
        let json = body.lines().rev().find_map(|line| line.strip_prefix("data:")).unwrap_or(&body);
        (status, serde_json::from_str(json).unwrap_or_else(|_| panic!("{status}: {body}")))
    }

    /// POSTs a notification. There is no more to its answer than a status.
    pub async fn notify(&self, method: &str, params: Value) -> StatusCode {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        self.post("", &message).await.status()
    }

    async fn post(&self, name: &str, message: &Value) -> Response {
        let sending = self
            .http
            .post(&self.url)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", message["method"].as_str().unwrap())
            .header("mcp-name", name)
            .body(message.to_string())
            .send();
        timeout(DEADLINE, sending).await.expect("a response").unwrap()
    }

    /// The result of a request that must have one.
    pub async fn result(&self, method: &str, params: Value) -> Value {
        let (_, mut answer) = self.request(method, params).await;
        assert!(answer["result"].is_object(), "{method}: {answer}");
        answer["result"].take()
    }

    /// The code and the message of an error that must come.
    pub async fn error(&self, method: &str, params: Value) -> (i64, String) {
        let (_, answer) = self.request(method, params).await;
        let error = &answer["error"];
        assert!(error.is_object(), "{method}: {answer}");
        (error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned())
    }

    /// Calls a tool.
    pub async fn call(&self, name: &str, arguments: Value) -> Value {
        self.result("tools/call", json!({ "name": name, "arguments": arguments })).await
    }

    /// Starts work of this many steps as a task, and returns its id.
    pub async fn start(&self, steps: u32) -> String {
        let work = json!({ "filename": "part_0.csv", "processing_time": steps });
        let created = self.call("process_large_file", work).await;
        created["taskId"].as_str().unwrap_or_else(|| panic!("not a task: {created}")).to_owned()
    }

    pub async fn get(&self, id: &str) -> Value {
        self.result("tasks/get", json!({ "taskId": id })).await
    }

    /// Looks until the task has ended.
    pub async fn ended(&self, id: &str) -> Value {
        let looking = async {
            loop {
                let task = self.get(id).await;
                if task["status"] != "working" {
                    return task;
                }
                sleep(TICK).await;
            }
        };
        timeout(DEADLINE, looking).await.expect("the end of a task")
    }

    /// The server does what it always did.
    pub async fn still_serves(&self) {
        let list = self.call("list_calls", json!({})).await;
        assert!(list["structuredContent"]["calls"].is_array(), "{list}");
    }
}

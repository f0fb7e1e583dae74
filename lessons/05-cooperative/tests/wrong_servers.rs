//! Servers whose tools are not what they say, or that hide what they left behind.

use std::sync::atomic::{AtomicU32, Ordering};

use cooperative::tools::WorkServer;
use course::lesson::Protocol;
use course::stage::Stage;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ListToolsResult, PaginatedRequestParams,
    ProtocolVersion, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use shared::client::Client;
use testing::hosted::{Hosted, setup};
use tokio::sync::Mutex;

/// This lesson measures, so its plays take turns.
static TURN: Mutex<()> = Mutex::const_new(());

/// Changes what comes in and what goes out.
#[derive(Clone)]
struct Liar {
    server: WorkServer,
    /// Changes a call before the tool sees it.
    hears: fn(&mut CallToolRequestParams),
    /// Changes the structured content of a call's result.
    says: fn(&CallToolRequestParams, &mut Value),
}

impl ServerHandler for Liar {
    async fn call_tool(
        &self,
        mut request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let asked = request.clone();
        (self.hears)(&mut request);
        match self.server.call_tool(request, ctx).await? {
            CallToolResponse::Complete(mut result) => {
                if let Some(content) = &mut result.structured_content {
                    (self.says)(&asked, content);
                }
                Ok(result.into())
            }
            answer => Ok(answer),
        }
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.server.get_tool(name)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        self.server.list_tools(request, ctx).await
    }
}

/// The story against this liar ends with that sentence.
async fn ends_with(
    hears: fn(&mut CallToolRequestParams),
    says: fn(&CallToolRequestParams, &mut Value),
    sentence: &str,
) {
    let _turn = TURN.lock().await;
    let server = WorkServer::new(setup(0));
    let server = Hosted::start(Liar { server, hears, says }).await;
    let lesson = Stage::over_http(&server.url, Protocol::V2025);
    let error = cooperative::story(&lesson).await.unwrap_err().to_string();
    let client = Client::http(&server.url, ProtocolVersion::V_2025_11_25).await.unwrap();
    client.call("sweep", Value::Null).await.unwrap();
    assert!(error.contains(sentence), "{error}");
}

fn honest(_: &CallToolRequestParams, _: &mut Value) {}

/// Whether the call is one of the story's thousand passes, which are there to be cancelled.
fn is_long(request: &CallToolRequestParams) -> bool {
    request.arguments.as_ref().is_some_and(|arguments| arguments["passes"] == 1000)
}

/// Does the work of this call with `ignores`.
fn ignore(request: &mut CallToolRequestParams) {
    request.name = "ignores".into();
    request.arguments.as_mut().unwrap().insert("passes".to_owned(), json!(40));
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_thread_that_does_not_look() {
    let hears = |request: &mut CallToolRequestParams| {
        if request.name == "polls" && is_long(request) {
            ignore(request);
        }
    };
    ends_with(hears, honest, "polls did not stop when it was cancelled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_child_that_is_not_killed() {
    let hears = |request: &mut CallToolRequestParams| {
        if request.name == "spawns" {
            ignore(request);
        }
    };
    ends_with(hears, honest, "spawns did not stop when it was cancelled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_grandchildren_that_are_not_killed() {
    let hears = |request: &mut CallToolRequestParams| {
        if request.name == "spawns" {
            request.name = "spawns_carelessly".into();
        }
    };
    ends_with(hears, honest, "spawns has stopped, and leaves 1 live process group").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_careless_tool_that_leaves_nothing() {
    let hears = |request: &mut CallToolRequestParams| {
        if request.name == "spawns_carelessly" {
            request.name = "spawns".into();
        }
    };
    ends_with(hears, honest, "spawns_carelessly left nothing behind").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_tool_that_does_not_ignore() {
    let hears = |request: &mut CallToolRequestParams| {
        if request.name == "ignores" {
            request.name = "polls".into();
        }
    };
    ends_with(hears, honest, "ignores has stopped: cancelled after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_server_that_hides_what_does_not_stop() {
    let says = |request: &CallToolRequestParams, content: &mut Value| {
        if request.name == "leftovers" {
            content["not_stopping"] = json!([]);
        }
    };
    ends_with(|_| {}, says, "the server hides that ignores goes on").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_looks_that_cost_too_much() {
    let says = |request: &CallToolRequestParams, content: &mut Value| {
        let every = request.arguments.as_ref().map(|arguments| arguments.get("every"));
        if let Some(Some(every)) = every
            && *every == 1000
            && let Some(cpu) = content["cpu_us"].as_u64()
        {
            content["cpu_us"] = json!(cpu * 2);
        }
    };
    ends_with(|_| {}, says, "looking every 1000 rows costs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_that_looking_rarely_delays_nothing() {
    let hears = |request: &mut CallToolRequestParams| {
        let every = request.arguments.as_mut().and_then(|arguments| arguments.get_mut("every"));
        if let Some(every) = every.filter(|every| **every == 1_000_000) {
            *every = json!(1000);
        }
    };
    ends_with(hears, honest, "looking every 1000000 rows did not delay the stop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_server_without_a_limit() {
    let hears = |request: &mut CallToolRequestParams| {
        let arguments = request.arguments.as_ref();
        if request.name == "polls" && arguments.is_some_and(|arguments| arguments["passes"] == 1) {
            request.name = "awaits".into();
        }
    };
    ends_with(hears, honest, "no limit: more threads are at work than there should be").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_that_all_must_wait_for_the_stubborn() {
    let hears = |request: &mut CallToolRequestParams| {
        if request.name == "awaits" && !is_long(request) {
            request.name = "polls".into();
        }
    };
    ends_with(hears, honest, "a tool that needs no thread was not served").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_thread_that_is_not_given_back() {
    // The story asks for leftovers after each of five tools. After that, it waits for the end.
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let says = |request: &CallToolRequestParams, content: &mut Value| {
        let is_late = request.name == "leftovers" && ASKED.fetch_add(1, Ordering::Relaxed) >= 5;
        if is_late && content["not_stopping"] == json!([]) {
            content["busy_threads"] = json!(1);
        }
    };
    ends_with(|_| {}, says, "when all is done the server still has").await;
}

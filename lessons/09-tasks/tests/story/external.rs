//! Tests with tools of others: newman, Postman's own runner, which plays the folder of the
//! collection that is about tasks, and the official conformance tool with its scenarios for tasks.
//!
//! No scenario runs without tools of the conformance tool's own choice. So what needs no such tool is
//! checked against this lesson's program, and the rest against its server with those tools in
//! the place of its own. Three scenarios are left out: `tasks-mrtr-input` and
//! `tasks-mrtr-composition` are about tasks that ask their client for input, which this lesson
//! has none of, and `tasks-status-notifications` has no checks in it yet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hosting::between::Between;
use hosting::layer::{Layer, Server};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock,
    JsonObject, Tool,
};
use rmcp::service::RequestContext;
use rmcp::task_manager::TaskExit;
use rmcp::{ErrorData, RoleServer};
use serde_json::{Value, json};
use shared::server::Caller;
use tasks::tools::TaskServer;
use tasks_extension::Asker;
use tasks_extension::store::Limits;
use testing::hosted::{Hosted, setup};
use testing::newman::Newman;
use testing::process::Process;
use tokio::time::sleep;
use wrong::Wrong;

/// Plays a scenario against the server at this URL. Returns the status of each check.
fn play(scenario: &str, url: &str) -> BTreeMap<String, String> {
    let tool = PathBuf::from(std::env::var_os("MCP_CONFORMANCE").expect("MCP_CONFORMANCE"));
    let modules = tool.join("node_modules");
    let results = tempfile::tempdir().unwrap();
    // The tool fails if one check fails. What failed is in its results.
    assert_cmd::Command::new(modules.join(".bin/node"))
        .arg(modules.join("@modelcontextprotocol/conformance/dist/index.js"))
        .args(["server", "--scenario", scenario, "--url", url])
        .arg("--output-dir")
        .arg(results.path())
        .timeout(Duration::from_secs(60))
        .output()
        .unwrap();
    let played = std::fs::read_dir(results.path()).unwrap().next().expect("results").unwrap();
    let checks = std::fs::read_to_string(played.path().join("checks.json")).unwrap();
    let checks: Vec<Value> = serde_json::from_str(&checks).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let outcome =
        |check: &Value| format!("{} {}", text(&check["status"]), text(&check["errorMessage"]));
    checks.iter().map(|check| (text(&check["id"]), outcome(check).trim().to_owned())).collect()
}

#[test]
#[ignore = "needs the conformance tool: MCP_CONFORMANCE, see .ci/run"]
fn conformance_of_what_needs_no_special_tools() {
    let server = Process::http(env!("CARGO_BIN_EXE_tasks"), "50ms");
    for (scenario, checks) in [
        (
            "tasks-capability-negotiation",
            &["tasks-extension-advertised", "sep-2663-tasks-methods-non-declaring"][..],
        ),
        (
            "tasks-dispatch-and-envelope",
            &[
                "sep-2663-tasks-result-removed-method-not-found",
                "tasks-removed-tasks-list",
                "sep-2663-tasks-get-invalid-task-id-32602",
            ],
        ),
        ("tasks-request-headers", &["tasks-headers-reject-mismatched-method"]),
    ] {
        let results = play(scenario, &server.url);
        for check in checks.iter().chain(&["wire-schema-valid"]) {
            assert_eq!(results[*check], "SUCCESS", "{scenario}, {check}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the conformance tool: MCP_CONFORMANCE, see .ci/run"]
async fn conformance_of_the_server_with_the_tools_that_are_asked_for() {
    let server = TaskServer::new(setup(50), Limits::default()).unwrap();
    let fixtures = Fixtures { server: server.clone() };
    let stop = shared::stop::Stop::default();
    let server = Hosted::host(Server::new(server).with(fixtures), stop, Between::default()).await;
    for (scenario, checks) in [
        ("tasks-lifecycle", 9),
        ("tasks-capability-negotiation", 5),
        ("tasks-wire-fields", 4),
        ("tasks-request-state-removal", 3),
        ("tasks-request-headers", 5),
        ("tasks-dispatch-and-envelope", 9),
        ("tasks-required-task-error", 3),
    ] {
        let url = server.url.clone();
        let results = tokio::task::spawn_blocking(move || play(scenario, &url)).await.unwrap();
        assert_eq!(results.len(), checks, "{scenario}: {results:#?}");
        for (check, outcome) in &results {
            assert_eq!(outcome, "SUCCESS", "{scenario}, {check}");
        }
    }
}

/// This lesson's server, with other tools: it decides what becomes a task, and keeps the tasks.
struct Fixtures {
    server: TaskServer,
}

impl Layer for Fixtures {
    fn call_tool<'a>(
        &'a self,
        _: &'a Server,
        request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        self.call(request, ctx).boxed()
    }

    fn get_tool(&self, _: &Server, name: &str) -> Option<Tool> {
        let tools =
            ["greet", "confirm_delete", "slow_compute", "failing_job", "protocol_error_job"];
        let schema: JsonObject = json!({ "type": "object" }).as_object().unwrap().clone();
        let name = tools.into_iter().find(|tool| *tool == name)?;
        Some(Tool::new(name, "a tool of the conformance tool's", Arc::new(schema)))
    }
}

impl Fixtures {
    async fn call(
        &self,
        request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let declared = ctx.client_capabilities().is_some_and(|declared| declared.supports_tasks());
        let answer = match &*request.name {
            "greet" => {
                let name = arguments["name"].as_str().unwrap_or_default();
                Ok(said(&format!("Hello, {name}!")).into())
            }
            // Wants to ask whether to delete, as a task. Here it deletes nothing.
            "confirm_delete" => Ok(said("not deleted").into()),
            "slow_compute" => {
                let length = Duration::from_secs(arguments["seconds"].as_u64().unwrap_or_default());
                let work = async move |asker: Asker| {
                    tokio::select! {
                        () = asker.stop().cancelled() => Err(TaskExit::Cancelled),
                        () = sleep(length) => Ok(said("computed")),
                    }
                };
                self.server.answer(ctx, work).await
            }
            // Is to be a task or nothing.
            "failing_job" if !declared => {
                let required = ClientCapabilities::builder().enable_tasks().build();
                return Err(ErrorData::missing_required_client_capability(required));
            }
            "failing_job" => {
                let work = async |_| Ok(CallToolResult::error(vec![ContentBlock::text("no")]));
                self.server.answer(ctx, work).await
            }
            "protocol_error_job" => {
                let work = async |_| std::panic::resume_unwind(Box::new("on purpose"));
                self.server.answer(ctx, work).await
            }
            other => unreachable!("{other} is not listed"),
        };
        answer.map_err(|why| ErrorData::internal_error(why, None))
    }
}

fn said(text: &str) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs newman: NEWMAN, see .ci/run"]
async fn newman_cancels_a_task() {
    let server = Hosted::start(TaskServer::new(setup(200), Limits::default()).unwrap()).await;
    let report = Newman::play(&server.url, &["5 Tasks"]).report();
    assert_eq!(report.failed(), [""; 0]);
    let asserted = report.asserted();
    for number in 1..=8 {
        let request = format!("5.{number} ");
        assert!(asserted.iter().any(|(name, _)| name.starts_with(&request)), "{request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs newman: NEWMAN, see .ci/run"]
async fn newman_finds_out_a_deaf_server() {
    let setup = setup(200);
    let stop = setup.stop.clone();
    let server = Wrong::Deaf.tools(Server::new(TaskServer::new(setup, Limits::default()).unwrap()));
    let server = Hosted::host(server, stop, Wrong::Deaf.connections()).await;
    let expected = [
        "the task was cancelled",
        "the server stopped: its list says cancelled, before all steps were done",
    ];
    assert_eq!(Newman::play(&server.url, &["5 Tasks"]).report().failed(), expected);
}

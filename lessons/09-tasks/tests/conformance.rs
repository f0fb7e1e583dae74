//! The project's official conformance tool, and its scenarios for tasks.
//!
//! None of them runs without tools of the tool's own choice. So what needs no such tool is
//! checked against this lesson's program, and the rest against its server with those tools in
//! the place of its own. Three scenarios are left out: `tasks-mrtr-input` and
//! `tasks-mrtr-composition` are about tasks that ask their client for input, which this lesson
//! has none of, and `tasks-status-notifications` has no checks in it yet.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, ClientCapabilities,
    ContentBlock, GetTaskParams, GetTaskResult, JsonObject, ListToolsResult,
    PaginatedRequestParams, ServerConfig, Tool, UpdateTaskParams,
};
use rmcp::service::RequestContext;
use rmcp::task_manager::TaskExit;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use support::{TICK, serve_as};
use tasks::store::Limits;
use tasks::tools::TaskServer;
use tasks::work::Caller;
use tokio::time::sleep;

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

/// The lesson's program, serving. What it prints must have somewhere to go.
struct Program(Child, BufReader<ChildStdout>);

impl Program {
    fn start() -> (Self, String) {
        let mut program = Command::new(env!("CARGO_BIN_EXE_tasks"));
        program.args(["serve", "--addr", "127.0.0.1:0", "--tick", "50ms"]).stdout(Stdio::piped());
        let mut program = program.spawn().unwrap();
        let output = BufReader::new(program.stdout.take().unwrap());
        let mut program = Self(program, output);
        let mut line = String::new();
        program.1.read_line(&mut line).unwrap();
        let url = line.split_whitespace().last().unwrap().to_owned();
        (program, url)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs the conformance tool: MCP_CONFORMANCE, see .ci/run"]
fn conformance_of_what_needs_no_special_tools() {
    let (_program, url) = Program::start();
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
        let results = play(scenario, &url);
        for check in checks.iter().chain(&["wire-schema-valid"]) {
            assert_eq!(results[*check], "SUCCESS", "{scenario}, {check}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the conformance tool: MCP_CONFORMANCE, see .ci/run"]
async fn conformance_of_the_server_with_the_tools_that_are_asked_for() {
    let limits = Limits { tasks: 64, ttl: Duration::from_secs(300), poll_interval: TICK };
    let server = serve_as(limits, |server| Fixtures { server }).await;
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

/// This lesson's server, its tools aside: it decides what becomes a task, and keeps the tasks.
#[derive(Clone)]
struct Fixtures {
    server: TaskServer,
}

impl ServerHandler for Fixtures {
    async fn call_tool(
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
                let work = async move |caller: Caller| {
                    tokio::select! {
                        () = caller.stop().cancelled() => Err(TaskExit::Cancelled),
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

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let tools =
            ["greet", "confirm_delete", "slow_compute", "failing_job", "protocol_error_job"];
        let schema: JsonObject = json!({ "type": "object" }).as_object().unwrap().clone();
        let name = tools.into_iter().find(|tool| *tool == name)?;
        Some(Tool::new(name, "a tool of the conformance tool's", Arc::new(schema)))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::default())
    }

    fn get_info(&self) -> ServerConfig {
        self.server.get_info()
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        self.server.get_task(request, ctx).await
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.server.update_task(request, ctx).await
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.server.cancel_task(request, ctx).await
    }
}

fn said(text: &str) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

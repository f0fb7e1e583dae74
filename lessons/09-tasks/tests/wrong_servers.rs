//! Servers that are wrong about tasks, in the ways that only this lesson has reason to fear.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use course::lesson::Protocol;
use course::stage::Stage;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, ClientCapabilities,
    DetailedTask, GetTaskParams, GetTaskResult, ListToolsResult, PaginatedRequestParams,
    ProtocolVersion, RequestId, ServerConfig, TaskPayload, TaskStatus, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use shared::server::Setup;
use tasks::tools::TaskServer;
use testing::hosted::{Hosted, setup};

/// What is wrong with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// Never makes a task of anything.
    Reluctant,
    /// Ties the task to its request: the trap of `ctx.ct`, which fires when a call ends.
    Tied,
    /// Does not know the tasks it has made.
    Absent,
    /// Knows a task on the connection that made it, and on no other.
    Narrow,
    /// Refuses every cancel.
    Stubborn,
    /// Refuses the cancel of a task that has ended.
    Strict,
    /// Acknowledges the cancel of any id.
    Polite,
    /// Shows a task as cancelled from the moment it is told, and tells nobody else.
    Hasty,
    /// Shows a task as cancelled that has completed, once it is cancelled too late.
    Revising,
    /// Shows a task as cancelled that was cancelled at work, and has completed all the same.
    Obliging,
    /// Shows a cancelled task as failed.
    Gloomy,
    /// Shows a completed task as failed.
    Broken,
    /// Gives every task the result of another.
    Muddled,
    /// Posts a tenth.
    Cut,
    /// Says of every call that it ended when it began.
    Early,
    /// Never hears of a panic.
    Waiting,
    /// Shows a failed task as cancelled.
    Silent,
    /// Makes tasks for clients of every revision, as rmcp would.
    Ageless,
    /// Lets clients of every revision look at tasks, as rmcp would.
    Open,
    /// Makes tasks for clients that do not declare them; rmcp turns those away.
    Pushy,
}

/// What a flaw has to remember of a task.
#[derive(Debug, Clone)]
struct Memory {
    request: RequestId,
    cancelled_at: Option<TaskStatus>,
}

#[derive(Clone)]
struct Flawed {
    server: TaskServer,
    flaw: Flaw,
    tasks: Arc<Mutex<HashMap<String, Memory>>>,
}

impl ServerHandler for Flawed {
    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        mut ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        match self.flaw {
            Flaw::Reluctant => ctx.meta.set_client_capabilities(ClientCapabilities::default()),
            Flaw::Pushy => ctx.meta.set_client_capabilities(declared()),
            Flaw::Ageless => ctx.meta.set_protocol_version(ProtocolVersion::V_2026_07_28),
            _ => {}
        }
        let (name, of_request) = (request.name.clone(), ctx.clone());
        let mut answer = self.server.call_tool(request, ctx).await?;
        match &mut answer {
            CallToolResponse::Task(created) => {
                let id = created.task.task_id.clone();
                let memory = Memory { request: of_request.id.clone(), cancelled_at: None };
                self.tasks.lock().unwrap().insert(id.clone(), memory);
                if self.flaw == Flaw::Tied {
                    let server = self.server.clone();
                    tokio::spawn(async move {
                        of_request.ct.cancelled().await;
                        server.cancel_task(CancelTaskParams::new(id), of_request).await
                    });
                }
            }
            CallToolResponse::Complete(result)
                if self.flaw == Flaw::Early && name == "list_calls" =>
            {
                let list = result.structured_content.as_mut().unwrap();
                for call in list["calls"].as_array_mut().unwrap() {
                    call["ended_at"] = call["started_at"].clone();
                }
            }
            _ => {}
        }
        Ok(answer)
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        mut ctx: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        if self.flaw == Flaw::Open {
            ctx.meta.set_protocol_version(ProtocolVersion::V_2026_07_28);
        }
        let (id, asked_by) = (request.task_id.clone(), ctx.id.clone());
        let DetailedTask { task, payload, .. } = self.server.get_task(request, ctx).await?.task;
        let Memory { request, cancelled_at } = self.tasks.lock().unwrap()[&id].clone();
        // Ids start over with each connection.
        if self.flaw == Flaw::Absent
            || self.flaw == Flaw::Narrow && number(&asked_by) < number(&request)
        {
            return Err(ErrorData::invalid_params("which task?", None));
        }
        let payload = match (self.flaw, payload, cancelled_at) {
            (Flaw::Hasty, TaskPayload::Working, Some(_))
            | (Flaw::Revising, TaskPayload::Completed { .. }, Some(TaskStatus::Completed))
            | (Flaw::Obliging, TaskPayload::Completed { .. }, Some(TaskStatus::Working))
            | (Flaw::Silent, TaskPayload::Failed { .. }, _) => TaskPayload::Cancelled,
            (Flaw::Gloomy, TaskPayload::Cancelled, _)
            | (Flaw::Broken, TaskPayload::Completed { .. }, _) => {
                let error = json!({ "code": -32603, "message": "no" }).as_object().unwrap().clone();
                TaskPayload::Failed { error }
            }
            (Flaw::Muddled, TaskPayload::Completed { .. }, _) => other_result(json!({ "rows": 7 })),
            (Flaw::Cut, TaskPayload::Completed { result }, _)
                if result["structuredContent"]["posted"] != Value::Null =>
            {
                other_result(json!({ "posted": 100 }))
            }
            (Flaw::Waiting, TaskPayload::Failed { .. }, _) => TaskPayload::Working,
            (_, payload, _) => payload,
        };
        Ok(GetTaskResult::new(DetailedTask::new(task, payload)))
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let id = request.task_id.clone();
        let status = self
            .server
            .get_task(GetTaskParams::new(&id), ctx.clone())
            .await
            .map(|it| it.task.status());
        let ended = status.as_ref().is_ok_and(TaskStatus::is_terminal);
        if let (Ok(status), Some(memory)) = (&status, self.tasks.lock().unwrap().get_mut(&id)) {
            memory.cancelled_at.get_or_insert(*status);
        }
        match self.flaw {
            Flaw::Stubborn => Err(ErrorData::invalid_params("no", None)),
            Flaw::Strict if ended => Err(ErrorData::invalid_params("too late", None)),
            Flaw::Polite if status.is_err() => Ok(()),
            Flaw::Hasty => Ok(()),
            _ => self.server.cancel_task(request, ctx).await,
        }
    }

    fn get_info(&self) -> ServerConfig {
        self.server.get_info()
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

fn declared() -> ClientCapabilities {
    ClientCapabilities::builder().enable_tasks().build()
}

fn number(id: &RequestId) -> i64 {
    let RequestId::Number(number) = id else { panic!("rmcp counts its requests") };
    *number
}

fn other_result(content: Value) -> TaskPayload {
    let result = json!(CallToolResult::structured(content));
    TaskPayload::Completed { result: result.as_object().unwrap().clone() }
}

/// Against a server with this flaw the story ends with this sentence.
async fn notices(flaw: Flaw, sentence: &str) {
    notices_at(Duration::from_millis(100), flaw, sentence).await;
}

async fn notices_at(tick: Duration, flaw: Flaw, sentence: &str) {
    let server = TaskServer::new(Setup { tick, ..setup(0) }).unwrap();
    let server = Hosted::start(Flawed { server, flaw, tasks: Arc::default() }).await;
    let error = tasks::story(&Stage::over_http(&server.url, Protocol::V2026)).await.unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains(sentence), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_server_that_makes_no_tasks() {
    notices(Flaw::Reluctant, "answered with a result, not a task").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_task_that_holds_the_token_of_its_request() {
    // On a busy machine it takes a while to die, and the story looks only twice.
    let tick = Duration::from_millis(500);
    let sentence = "the task did not outlive its request: it is Cancelled";
    notices_at(tick, Flaw::Tied, sentence).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_task_that_is_lost() {
    notices(Flaw::Absent, "the server has lost the task").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_task_that_is_lost_with_its_connection() {
    notices(Flaw::Narrow, "the task was lost with its connection").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_cancel_that_is_refused() {
    notices(Flaw::Stubborn, "the cancel was not acknowledged").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_late_cancel_that_is_refused() {
    notices(Flaw::Strict, "the cancel of a task that has ended was refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_cancel_of_nothing_that_is_acknowledged() {
    notices(Flaw::Polite, "acknowledged the cancel of a task that it cannot know").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_task_that_is_cancelled_in_name_only() {
    notices(Flaw::Hasty, "the task ended as cancelled, but its work is").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_an_end_that_is_not_final() {
    notices(Flaw::Revising, "a cancel changed a task that had ended").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_work_that_was_done_and_is_called_cancelled() {
    notices(Flaw::Obliging, "a posting that has begun can only complete").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_cancelled_task_that_is_called_something_else() {
    notices(Flaw::Gloomy, "the cancelled task ended otherwise: Failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_task_that_does_not_complete() {
    notices(Flaw::Broken, "the task did not complete: Failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_the_result_of_another() {
    notices(Flaw::Muddled, "the task's result is not the call's: 7 of 1000 rows").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_posting_that_was_cut() {
    notices(Flaw::Cut, "the posting was cut: 100 of 1000 rows").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_posting_that_was_over_before_its_cancel() {
    notices(Flaw::Early, "the posting was over before its cancel was sent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_panic_that_leaves_its_task_working() {
    notices(Flaw::Waiting, "the tool has panicked, and its task is still working").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_panic_that_is_kept_quiet() {
    notices(Flaw::Silent, "a tool panicked, and its task ended: Cancelled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_task_for_a_client_of_2025_11_25() {
    notices(Flaw::Ageless, "a client of 2025-11-25 that does was answered with a task").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_tasks_that_a_client_of_2025_11_25_may_look_at() {
    notices(Flaw::Open, "a client of 2025-11-25 that does may look at tasks").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_plain_client_that_is_turned_away() {
    notices(Flaw::Pushy, "a client that does not declare tasks was turned away").await;
}

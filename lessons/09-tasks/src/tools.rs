//! This lesson's server. A call is answered at once with a task, if its client takes tasks, and
//! else, when the work is done, with its result.
//!
//! The work itself, in `work.rs`, is the same in both cases.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::model::{
    CallToolResponse, CallToolResult, CancelTaskParams, ClientCapabilities, ContentBlock,
    CreateTaskResult, CustomRequest, CustomResult, ErrorCode, GetTaskParams, GetTaskResult,
    ProtocolVersion, ServerCapabilities, ServerConfig, UpdateTaskParams,
};
use rmcp::service::RequestContext;
use rmcp::task_manager::TaskExit;
use rmcp::{ErrorData, RoleServer, ServerHandler, schemars, tool, tool_handler, tool_router};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::calls::{CallList, State};
use shared::server::{ProcessArgs, Setup, Steps};
use tokio::time::sleep;

use crate::store::{Limits, Store};
use crate::work::{Caller, POSTING_STEPS, post, process};

/// How long a step takes at least: who looks at a task after its first step finds it at work.
const MIN_STEP: Duration = Duration::from_millis(50);

/// A server that works in tasks.
#[derive(Debug, Clone)]
pub struct TaskServer {
    setup: Setup,
    store: Store,
    journal: Arc<File>,
}

/// Arguments of `post_to_journal`.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct PostArgs {
    /// A file of the data folder, for example `part_0.csv`.
    filename: String,
}

#[tool_router]
impl TaskServer {
    /// A server over these files, with a journal of its own. Its tasks stop when the server does.
    pub fn new(mut setup: Setup) -> anyhow::Result<Self> {
        setup.tick = setup.tick.max(MIN_STEP);
        let poll_interval = setup.tick;
        let limits = Limits { tasks: 64, ttl: Duration::from_secs(300), poll_interval };
        Self::with_limits(setup, limits)
    }

    /// The same, with limits of the caller's choice.
    pub fn with_limits(setup: Setup, limits: Limits) -> anyhow::Result<Self> {
        let stop = setup.stop.token().clone();
        let journal = Arc::new(tempfile::tempfile()?);
        Ok(Self { setup, store: Store::new(limits, stop), journal })
    }

    /// Reads a CSV file in `processing_time` steps and returns statistics of its columns.
    /// Can be cancelled at any time.
    #[tool]
    async fn process_large_file(
        &self,
        Parameters(args): Parameters<ProcessArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, String> {
        let path = self.setup.data.find(&args.filename)?;
        let (Steps(steps), tick) = (args.processing_time, self.setup.tick);
        let call = self.setup.calls.start("process_large_file", steps, &ctx);
        let work = async move |caller: Caller| {
            let text = format!("Successfully processed {}", args.filename);
            match process(&path, steps, tick, &call, &caller).await {
                Ok(Some(summary)) => {
                    call.end(State::Finished);
                    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
                    result.structured_content = Some(json!(summary));
                    Ok(result)
                }
                // Written down when the work has stopped, and before the task says so.
                Ok(None) => {
                    call.end(State::Cancelled);
                    Err(TaskExit::Cancelled)
                }
                Err(error) => Ok(failed(format!("{} cannot be read: {error:#}", args.filename))),
            }
        };
        self.answer(ctx, work).await
    }

    /// Appends the rows of a CSV file to the server's journal: all of them, or none. Can be
    /// cancelled until the first row is written, and from then on no more.
    #[tool]
    async fn post_to_journal(
        &self,
        Parameters(args): Parameters<PostArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, String> {
        let path = self.setup.data.find(&args.filename)?;
        let (journal, tick) = (self.journal.clone(), self.setup.tick);
        let call = self.setup.calls.start("post_to_journal", POSTING_STEPS, &ctx);
        let work = async move |caller: Caller| {
            if caller.stop().is_cancelled() {
                call.end(State::Cancelled);
                return Err(TaskExit::Cancelled);
            }
            // The point of no return. A journal with half a file in it is worse than one with
            // the whole file, so from here on the token is not looked at.
            match post(&path, &journal, tick, &call, &caller).await {
                Ok(rows) => {
                    call.end(State::Finished);
                    let text = format!("posted {rows} rows");
                    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
                    result.structured_content = Some(json!({ "posted": rows }));
                    Ok(result)
                }
                Err(error) => Ok(failed(format!("{} cannot be posted: {error}", args.filename))),
            }
        };
        self.answer(ctx, work).await
    }

    /// Panics in its first step. Whoever waits for it hears of that all the same.
    #[tool]
    async fn crash(&self, ctx: RequestContext<RoleServer>) -> Result<CallToolResponse, String> {
        let (tick, call) = (self.setup.tick, self.setup.calls.start("crash", 1, &ctx));
        let work = async move |_caller: Caller| {
            sleep(tick).await;
            drop(call);
            // What `panic!` does, but for its message in the middle of the lesson's output.
            std::panic::resume_unwind(Box::new("a panic on purpose"))
        };
        self.answer(ctx, work).await
    }

    /// Lists the calls this server runs and has run, newest last.
    #[tool]
    async fn list_calls(&self) -> Json<CallList> {
        Json(self.setup.calls.list())
    }

    /// Answers a call with a task that does the work, or with the result of the work.
    pub async fn answer<F>(
        &self,
        ctx: RequestContext<RoleServer>,
        work: impl FnOnce(Caller) -> F,
    ) -> Result<CallToolResponse, String>
    where
        F: Future<Output = Result<CallToolResult, TaskExit>> + Send + 'static,
    {
        if takes_tasks(&ctx) {
            // Nothing of the request goes with the work. Its `ct` above all: that fires when
            // the request is answered, which is now.
            let task = self.store.start(|task| work(Caller::Task(task)))?;
            return Ok(CallToolResponse::Task(CreateTaskResult::new(task)));
        }
        match work(Caller::Waiting(ctx)).await {
            Ok(result) => Ok(result.into()),
            Err(TaskExit::Error(error)) => Err(error.message.into_owned()),
            // Nobody reads this: rmcp drops what a cancelled handler returns.
            Err(TaskExit::Cancelled) => Err("cancelled".to_owned()),
        }
    }
}

#[tool_handler]
impl ServerHandler for TaskServer {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_tasks().build())
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        require_tasks(&ctx)?;
        self.store.get(&request.task_id).map(GetTaskResult::new)
    }

    /// No task here ever asks its client for anything, and answers to questions that were never
    /// asked are to be ignored.
    async fn update_task(
        &self,
        request: UpdateTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        require_tasks(&ctx)?;
        self.store.get(&request.task_id).map(drop)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        require_tasks(&ctx)?;
        self.store.cancel(&request.task_id)
    }

    /// rmcp takes a request whose params it cannot read for one of a method that it does not
    /// know. To a client that sends a number for a task id that says nothing.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        ctx: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let CustomRequest { method, params, .. } = request;
        if !matches!(&*method, "tasks/get" | "tasks/update" | "tasks/cancel") {
            return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method, None));
        }
        require_tasks(&ctx)?;
        let why = match params.unwrap_or_default().get("taskId") {
            None => format!("{method} needs a taskId"),
            Some(Value::String(_)) => format!("the params of {method} cannot be read"),
            Some(id) => format!("taskId must be a string, not {id}"),
        };
        Err(ErrorData::invalid_params(why, None))
    }
}

/// Whether this request may be answered with a task. Its client must have declared the extension,
/// and speak a revision that has it: under 2025-11-25 the declaration counts for nothing.
fn takes_tasks(ctx: &RequestContext<RoleServer>) -> bool {
    let revision = ctx.protocol_version();
    ctx.client_capabilities().is_some_and(|declared| declared.supports_tasks())
        && revision.is_some_and(|revision| revision >= ProtocolVersion::V_2026_07_28)
}

/// rmcp asks for the declaration alone, so the revision is looked at here.
fn require_tasks(ctx: &RequestContext<RoleServer>) -> Result<(), ErrorData> {
    if takes_tasks(ctx) {
        return Ok(());
    }
    let required = ClientCapabilities::builder().enable_tasks().build();
    Err(ErrorData::missing_required_client_capability(required))
}

fn failed(why: String) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(why)])
}

//! This lesson's server. A client that takes tasks is answered at once, with a task. Any other
//! client waits for the result. The work is the same for both.

use std::time::Duration;

use anyhow::Context;
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::model::{
    CallToolResponse, CallToolResult, CancelTaskParams, ContentBlock, CreateTaskResult,
    CustomRequest, CustomResult, GetTaskParams, GetTaskResult, ServerCapabilities, ServerConfig,
    UpdateTaskParams,
};
use rmcp::service::RequestContext;
use rmcp::task_manager::TaskExit;
use rmcp::{ErrorData, RoleServer, ServerHandler, schemars, tool, tool_handler, tool_router};
use serde::Deserialize;
use serde_json::json;
use shared::calls::CallList;
use shared::note::CallNote;
use shared::server::{FileServer, ProcessArgs, Setup, processed};
use tasks_extension::store::{Limits, Store};
use tasks_extension::{Asker, finish, refusal, require_tasks, takes_tasks};

use crate::journal::{self, Journal};

/// How long a step takes at least: a client that looks after the first step finds it at work.
const MIN_STEP: Duration = Duration::from_millis(50);

/// A server that works in tasks.
#[derive(Debug, Clone)]
pub struct TaskServer {
    setup: Setup,
    files: FileServer,
    store: Store,
    journal: Journal,
}

/// Arguments of `post_to_journal`.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct PostArgs {
    /// A file of the data folder.
    #[schemars(extend("default" = "part_0.csv"))]
    filename: String,
}

#[tool_router]
impl TaskServer {
    /// A server over these files, with a journal of its own. Its tasks stop when the server does.
    pub fn new(mut setup: Setup, limits: Limits) -> anyhow::Result<Self> {
        setup.tick = setup.tick.max(MIN_STEP);
        let store = Store::new(limits, setup.tick, setup.stop.clone());
        let counted = store.clone();
        setup.calls.count_tasks_with(move || counted.by_state());
        let (files, journal) = (FileServer::new(setup.clone()), Journal::new()?);
        Ok(Self { setup, files, store, journal })
    }

    /// The server's journal.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Reads a CSV file in `processing_time` steps and returns statistics of its columns.
    /// Can be cancelled at any time.
    #[tool(
        title = "Process a large file",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn process_large_file(
        &self,
        Parameters(args): Parameters<ProcessArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, String> {
        let path = self.setup.data.find(&args.filename)?;
        let (steps, files) = (args.processing_time, self.files.clone());
        let call = self.setup.calls.start("process_large_file", steps, &ctx);
        let work = async move |asker: Asker| {
            let done = files.process(path, steps, &call, &asker).await;
            let done = done.with_context(|| format!("{} cannot be read", args.filename));
            finish(call, done.map(|done| done.map(|summary| processed(&args.filename, &summary))))
        };
        self.answer(ctx, work).await
    }

    /// Appends the rows of a CSV file to the server's journal: all of them, or none. Can be
    /// cancelled while it waits for its turn. From then on it can only finish.
    #[tool(
        title = "Post to the journal",
        annotations(
            read_only_hint = false,
            destructive_hint = false,
            idempotent_hint = false,
            open_world_hint = false
        )
    )]
    async fn post_to_journal(
        &self,
        Parameters(args): Parameters<PostArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, String> {
        let path = self.setup.data.find(&args.filename)?;
        let (journal, tick) = (self.journal.clone(), self.setup.tick);
        let call = self.setup.calls.start("post_to_journal", journal::STEPS, &ctx);
        let work = async move |asker: Asker| {
            let done = journal.post(&path, tick, &call, &asker).await;
            let done = done.with_context(|| format!("{} cannot be posted", args.filename));
            finish(call, done.map(|rows| rows.map(posted)))
        };
        self.answer(ctx, work).await
    }

    /// Counts the rows of the server's journal.
    #[tool(title = "Read the journal", annotations(read_only_hint = true, open_world_hint = false))]
    async fn read_journal(&self) -> Result<CallToolResult, String> {
        let rows = self.journal.read().await.map_err(|error| format!("the journal: {error}"))?;
        Ok(CallToolResult::structured(json!({ "rows": rows.len() })))
    }

    /// Lists the calls this server runs and has run, newest last.
    #[tool(title = "List the calls", annotations(read_only_hint = true, open_world_hint = false))]
    async fn list_calls(&self) -> Json<CallList> {
        Json(self.setup.calls.list())
    }

    /// Answers a call with a task that does the work, or with the result of the work.
    pub async fn answer<F>(
        &self,
        ctx: RequestContext<RoleServer>,
        work: impl FnOnce(Asker) -> F + Send + 'static,
    ) -> Result<CallToolResponse, String>
    where
        F: Future<Output = Result<CallToolResult, TaskExit>> + Send + 'static,
    {
        if takes_tasks(&ctx) {
            // The request's note goes with the work. Its `ct` does not: that fires when the
            // request is answered, which is now.
            let note = ctx.extensions.get::<CallNote>().cloned().unwrap_or_default();
            let task = self.store.start(note, |task| work(Asker::Task(task)))?;
            return Ok(CallToolResponse::Task(CreateTaskResult::new(task)));
        }
        match work(Asker::Waiting(ctx)).await {
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

    /// Acknowledged as soon as the work has been told. It stops when it can.
    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        require_tasks(&ctx)?;
        self.store.cancel(&request.task_id)
    }

    /// No task here ever asks its client for anything. An answer to no question is ignored.
    async fn update_task(
        &self,
        request: UpdateTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        require_tasks(&ctx)?;
        self.store.get(&request.task_id).map(drop)
    }

    /// To rmcp, a request of the extension whose params it cannot read has an unknown method.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        ctx: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        Err(refusal(request, &ctx))
    }
}

fn posted(rows: usize) -> CallToolResult {
    let text = ContentBlock::text(format!("posted {rows} rows"));
    let mut result = CallToolResult::success(vec![text]);
    result.structured_content = Some(json!({ "posted": rows }));
    result
}

//! This lesson's server. A client that takes tasks is answered at once, with a task. Any other
//! client waits for the result. The work is the same for both.

mod methods;

use std::time::Duration;

use anyhow::Context;
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, CreateTaskResult};
use rmcp::service::RequestContext;
use rmcp::task_manager::TaskExit;
use rmcp::{RoleServer, schemars, tool, tool_router};
use serde::Deserialize;
use serde_json::json;
use shared::calls::{Call, CallList};
use shared::note::CallNote;
use shared::server::{Caller, FileServer, ProcessArgs, Setup, processed};
use tokio_util::sync::CancellationToken;

use crate::journal::{self, Journal};
use crate::store::{Limits, Store, TaskHandle};
use methods::takes_tasks;

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

/// For whom a tool works.
#[derive(Debug)]
pub enum Asker {
    /// A request that waits for the result.
    Waiting(RequestContext<RoleServer>),
    /// A task, whose request was answered long ago.
    Task(TaskHandle),
}

impl Caller for Asker {
    fn stop(&self) -> &CancellationToken {
        match self {
            Self::Waiting(ctx) => ctx.stop(),
            Self::Task(task) => task.stop(),
        }
    }

    async fn report(&self, done: u64, whole: u64, message: String) {
        match self {
            Self::Waiting(ctx) => ctx.report(done, whole, message).await,
            Self::Task(task) => task.say(message),
        }
    }
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
    pub fn new(mut setup: Setup) -> anyhow::Result<Self> {
        setup.tick = setup.tick.max(MIN_STEP);
        let poll_interval = setup.tick;
        let limits = Limits { tasks: 64, ttl: Duration::from_secs(300), poll_interval };
        Self::with_limits(setup, limits)
    }

    /// The same, with limits of the caller's choice.
    pub fn with_limits(setup: Setup, limits: Limits) -> anyhow::Result<Self> {
        let store = Store::new(limits, setup.stop.clone());
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
    /// cancelled until the first row is written. From then on it can only finish.
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
        work: impl FnOnce(Asker) -> F,
    ) -> Result<CallToolResponse, String>
    where
        F: Future<Output = Result<CallToolResult, TaskExit>> + Send + 'static,
    {
        if takes_tasks(&ctx) {
            // Nothing of the request goes with the work. Its `ct` above all: that fires when
            // the request is answered, which is now.
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

/// Writes down how the call ended: when its work has stopped, and before its task says so. A tool
/// that failed has a result, which says why.
fn finish(
    call: Call,
    done: anyhow::Result<Option<CallToolResult>>,
) -> Result<CallToolResult, TaskExit> {
    let cancelled = matches!(done, Ok(None));
    call.finish(done).or_else(|why| {
        let failed = CallToolResult::error(vec![ContentBlock::text(why)]);
        if cancelled { Err(TaskExit::Cancelled) } else { Ok(failed) }
    })
}

fn posted(rows: usize) -> CallToolResult {
    let text = ContentBlock::text(format!("posted {rows} rows"));
    let mut result = CallToolResult::success(vec![text]);
    result.structured_content = Some(json!({ "posted": rows }));
    result
}

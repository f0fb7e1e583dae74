//! The hop in the middle: a server to the agent, and a client of the database process.

use std::mem;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::model::CallToolResult;
use rmcp::service::{Peer, RequestContext, RunningService, ServiceExt};
use rmcp::transport::TokioChildProcess;
use rmcp::{RoleClient, RoleServer, schemars, tool, tool_router};
use serde::Deserialize;
use serde_json::json;
use shared::calls::CallList;
use shared::client::text_of;
use shared::in_order::InOrder;
use shared::server::Setup;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::caller::{Caller, Notes};
use crate::database::{ARGUMENT, Look, MAX_ROWS, Rows, Status, rows};

/// The server. Clones share its database process.
#[derive(Debug, Clone)]
pub struct ReportServer {
    setup: Setup,
    notes: Notes,
    /// Stops the work that `research_carelessly` has forgotten.
    forgotten: Arc<Mutex<CancellationToken>>,
    /// This program: the database process is a second one.
    program: PathBuf,
    folder: Arc<TempDir>,
    database: Arc<AsyncMutex<Option<RunningService<RoleClient, ()>>>>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct Research {
    /// How many rows to read in the database.
    #[serde(deserialize_with = "rows")]
    #[schemars(range(min = 1, max = MAX_ROWS), extend("default" = 100))]
    rows: u32,
    /// What to fetch meanwhile: a URL on this machine.
    #[schemars(example = "http://127.0.0.1:9000/")]
    url: String,
}

#[tool_router(server_handler)]
impl ReportServer {
    /// A server whose database process is this program, started with a hidden argument.
    pub fn new(setup: Setup, program: PathBuf) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for the database")?;
        let (notes, forgotten, database) = Default::default();
        Ok(Self { setup, notes, forgotten, program, folder: Arc::new(folder), database })
    }

    /// Runs a query and fetches a stream, both at once. Can be cancelled at any time.
    #[tool(title = "Query and fetch", annotations(read_only_hint = true, open_world_hint = true))]
    async fn research(
        &self,
        Parameters(args): Parameters<Research>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let call = self.setup.calls.start("research", 2, &ctx);
        let caller = Caller::of(&ctx);
        self.notes.note(&caller, "server", "starts");
        let answer = self.branches(args, &caller, || call.step_done()).await;
        self.notes.note(&caller, "server", "stopped");
        call.finish(answer)
    }

    /// Two branches under one parent. `None` means: cancelled.
    async fn branches(
        &self,
        args: Research,
        caller: &Caller,
        step_done: impl Fn(),
    ) -> anyhow::Result<Option<String>> {
        let database = self.database().await?;
        // The parent's cancel reaches the branches, and theirs does not reach the parent.
        let branches_stop = caller.stop.child_token();
        // However this function ends, early by `?` or dropped: what still runs is told to stop.
        let _guard = branches_stop.clone().drop_guard();
        let mut branches = JoinSet::new();
        for (tool, arguments) in
            [("query", json!({ "rows": args.rows })), ("fetch", json!({ "url": args.url }))]
        {
            let (database, branch) = (database.clone(), caller.with(branches_stop.clone()));
            branches
                .spawn(async move { branch.call(&database, tool, arguments).await.context(tool) });
        }
        let (mut texts, mut failure) = (Vec::new(), None);
        while let Some(ended) = branches.join_next().await {
            match ended? {
                Ok(Some(result)) => {
                    step_done();
                    texts.push(text_of(&result));
                }
                // A branch that was stopped because the other has failed has heard of no cancel.
                Ok(None) if failure.is_some() => {}
                Ok(None) => self.notes.note(caller, "server", "heard"),
                // One failed, so the other is work for nothing. Its end is waited for: the first
                // failure is the answer, and nothing runs any more when it is given.
                Err(error) => {
                    branches_stop.cancel();
                    failure.get_or_insert(error);
                }
            }
        }
        texts.sort();
        match failure {
            Some(error) => Err(error),
            None => Ok((texts.len() == 2).then(|| texts.join(", "))),
        }
    }

    /// The same, by somebody who thinks that stopping to wait is stopping.
    #[tool(
        title = "Query and fetch, and forget both",
        annotations(
            read_only_hint = false,
            destructive_hint = false,
            idempotent_hint = false,
            open_world_hint = true
        )
    )]
    async fn research_carelessly(
        &self,
        Parameters(args): Parameters<Research>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let call = self.setup.calls.start("research_carelessly", 2, &ctx);
        // The mistake: a task of its own, whose token has nothing to do with `ctx.ct`.
        let forgotten = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (server, work) = (self.clone(), Caller::of(&ctx).with(forgotten));
        let task = tokio::spawn(async move { server.branches(args, &work, || {}).await });
        let answer = tokio::select! {
            biased;
            () = ctx.ct.cancelled() => Ok(None),
            answer = task => answer.unwrap_or_else(|error| Err(error.into())),
        };
        call.finish(answer)
    }

    /// Stops what careless calls have left behind.
    #[tool(
        title = "Stop what was forgotten",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn sweep(&self) -> String {
        // A token fires once: the calls that come after this get a new one.
        mem::take(&mut *self.forgotten.lock().unwrap_or_else(PoisonError::into_inner)).cancel();
        "swept".to_owned()
    }

    /// Publishes rows: all of them, or none. Can be cancelled until the first row is written.
    #[tool(
        title = "Publish rows",
        annotations(
            read_only_hint = false,
            destructive_hint = false,
            idempotent_hint = false,
            open_world_hint = false
        )
    )]
    async fn publish(
        &self,
        Parameters(Rows { rows }): Parameters<Rows>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let call = self.setup.calls.start("publish", 1, &ctx);
        let database = self.database().await.map_err(|error| format!("{error:#}"))?;
        if ctx.ct.is_cancelled() {
            return call.finish(Ok(None));
        }
        // The shield: from here on the caller's cancel goes no further. rmcp never aborts a
        // handler, so it can wait here. Where handlers are dropped (axum drops them with the
        // connection) the commit needs a task of its own. A server that stops waits for its grace
        // and no longer. What the database has not committed when it ends, it rolls back.
        let shielded = Caller::of(&ctx).with(CancellationToken::new());
        let answer = shielded.call(&database, "commit", json!({ "rows": rows })).await;
        if answer.is_ok() {
            call.step_done();
        }
        call.finish(answer.map(|result| result.map(|result| text_of(&result))))
    }

    /// Says what the database process is doing, and what both hops noted under a trace.
    #[tool(
        title = "Look at the database process",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn look(&self, Parameters(look): Parameters<Look>) -> Result<CallToolResult, String> {
        let status = async {
            let anybody = Caller::first(CancellationToken::new());
            let database = self.database().await?;
            let status = anybody.call(&database, "status", json!({ "trace": look.trace })).await?;
            let status = status.and_then(|status| status.structured_content);
            let mut status: Status = serde_json::from_value(status.unwrap_or_default())?;
            status.notes.extend(self.notes.of(&look.trace));
            anyhow::Ok(CallToolResult::structured(json!(status)))
        };
        status.await.map_err(|error| format!("the database process does not answer: {error:#}"))
    }

    /// Lists the calls this server runs and has run, newest last.
    #[tool(title = "List the calls", annotations(read_only_hint = true, open_world_hint = false))]
    async fn list_calls(&self) -> Json<CallList> {
        Json(self.setup.calls.list())
    }

    /// The database process, started when it is first needed, and again if it has died.
    async fn database(&self) -> anyhow::Result<Peer<RoleClient>> {
        let mut database = self.database.lock().await;
        if let Some(running) = database.as_ref().filter(|running| !running.is_transport_closed()) {
            return Ok(running.peer().clone());
        }
        let start = async {
            let mut command = Command::new(&self.program);
            command.arg(ARGUMENT).arg(self.folder.path().join("sales.db"));
            // Ctrl-C is for our server. The database process ends when its input does.
            command.process_group(0);
            // A branch can be stopped in the moment in which it sends its call. Its cancel must not
            // come first.
            anyhow::Ok(().serve(InOrder(TokioChildProcess::new(command)?)).await?)
        };
        let running = start.await.context("cannot start the database process")?;
        Ok(database.insert(running).peer().clone())
    }
}

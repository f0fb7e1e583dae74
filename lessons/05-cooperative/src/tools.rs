//! This lesson's tools: three ways to do the same work, two of which can be stopped.

use std::sync::Arc;

use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, schemars, tool, tool_router};
use serde::{Deserialize, Serialize};
use shared::calls::{Call, CallList};
use shared::dataset::LARGE;
use shared::server::Setup;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, spawn_blocking, yield_now};

use crate::witness::{Rows, RowsOfCall};
use crate::work::{Digest, Work};

/// How many blocking threads the tools may use at once.
pub const THREADS: usize = 2;
/// How many rows a tool reads between two looks at its token, unless told otherwise.
pub const EVERY: u64 = 1000;

/// A server that does real work.
#[derive(Debug, Clone)]
pub struct WorkServer {
    setup: Setup,
    threads: Arc<Semaphore>,
    rows: Rows,
}

/// Arguments of the tools that work.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct WorkArgs {
    /// How often to go through the file.
    #[schemars(extend("default" = 10))]
    passes: u32,
}

/// Arguments of `polls`.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct PollArgs {
    /// How often to go through the file.
    #[schemars(extend("default" = 10))]
    passes: u32,
    /// After how many rows to look at the token; 0 is never.
    #[serde(default = "every")]
    every: u64,
}

fn every() -> u64 {
    EVERY
}

/// The answer of `rows`.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RowsRead {
    /// Blocking threads at work.
    pub busy_threads: usize,
    /// The calls, newest last.
    pub calls: Vec<RowsOfCall>,
}

#[tool_router(server_handler)]
impl WorkServer {
    /// A server over these files, writing into these calls.
    pub fn new(setup: Setup) -> Self {
        let threads = Arc::new(Semaphore::new(THREADS));
        Self { setup, threads, rows: Rows::default() }
    }

    /// Works in an async function, 1000 rows at a time. Can be stopped after each 1000.
    #[tool(title = "Work that awaits", annotations(read_only_hint = true, open_world_hint = false))]
    async fn awaits(
        &self,
        Parameters(WorkArgs { passes }): Parameters<WorkArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<Json<Digest>, String> {
        let path = self.setup.data.find(LARGE)?;
        let call = self.setup.calls.start("awaits", passes, &ctx);
        let mut work = Work::new(self.rows.watch(&ctx));

        let working = async {
            for _ in 0..passes {
                let mut file = BufReader::with_capacity(64 << 10, File::open(&path).await?);
                loop {
                    let mut lines = Vec::new();
                    for _ in 0..EVERY {
                        if file.read_until(b'\n', &mut lines).await? == 0 {
                            break;
                        }
                    }
                    if lines.is_empty() {
                        break;
                    }
                    // Nothing can stop this line, because there is no `.await` in it. So a stop
                    // takes as long as what is done at once here.
                    work.lines(&lines)?;
                    // And an `.await` is only a chance to stop if it really waits. A read returns
                    // at once until the buffer is empty, and `select!` does not get to look at
                    // its other branch. This one goes back to the runtime for certain.
                    yield_now().await;
                }
                call.step_done();
            }
            anyhow::Ok(work.digest())
        };
        let done = tokio::select! {
            // Without `biased`, `select!` looks at its branches in a random order.
            biased;
            () = ctx.ct.cancelled() => Ok(None),
            done = working => done.map(Some),
        };
        drop(work);
        // Written down now that the work has stopped.
        call.finish(done).map(Json)
    }

    /// Works on a blocking thread that looks at its token after every `every` rows.
    #[tool(
        title = "Work that polls its token",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn polls(
        &self,
        Parameters(PollArgs { passes, every }): Parameters<PollArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<Json<Digest>, String> {
        let path = self.setup.data.find(LARGE)?;
        let permit = self.try_thread()?;
        let call = self.setup.calls.start("polls", passes, &ctx);
        let mut work = Work::new(self.rows.watch(&ctx));

        // A blocking thread has no `.await`, so nothing outside can stop it: `select!` cannot,
        // `abort()` cannot. It gets the token, and looks at it. How often? `how_often` in the
        // story counts what that costs, and what it saves.
        let stop = ctx.ct.clone();
        let should_stop =
            move |row: u64| every > 0 && row.is_multiple_of(every) && stop.is_cancelled();
        let thread = spawn_blocking(move || {
            let _permit = permit;
            let done = work.passes(passes, &path, &call, should_stop);
            (call, done)
        });
        // The handler waits for the thread. It does not run ahead and say "cancelled".
        finish_thread(thread.await)
    }

    /// Works on a blocking thread that never looks at its token.
    #[tool(
        title = "Work that ignores its token",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn ignores(
        &self,
        Parameters(WorkArgs { passes }): Parameters<WorkArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<Json<Digest>, String> {
        let path = self.setup.data.find(LARGE)?;
        let permit = self.try_thread()?;
        let call = self.setup.calls.start("ignores", passes, &ctx);
        let mut work = Work::new(self.rows.watch(&ctx));
        let thread = spawn_blocking(move || {
            // The permit belongs to the thread. It comes back when the thread is done, and not
            // when nobody waits for the thread any more.
            let _permit = permit;
            let done = work.passes(passes, &path, &call, |_| false);
            (call, done)
        });
        // Nothing can stop that thread. What is left is honesty: as long as it works, the call
        // runs, and the list says so.
        finish_thread(thread.await)
    }

    /// Tells how many rows each call has read, and how many of them since its cancel.
    #[tool(
        title = "Count the rows read",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn rows(&self) -> Json<RowsRead> {
        let busy_threads = THREADS.saturating_sub(self.threads.available_permits());
        Json(RowsRead { busy_threads, calls: self.rows.list() })
    }

    /// Lists the calls this server runs and has run, newest last.
    #[tool(title = "List the calls", annotations(read_only_hint = true, open_world_hint = false))]
    async fn list_calls(&self) -> Json<CallList> {
        Json(self.setup.calls.list())
    }

    /// A thread, or an error: a queue behind threads that do not stop would only grow.
    fn try_thread(&self) -> Result<OwnedSemaphorePermit, String> {
        let permit = Arc::clone(&self.threads).try_acquire_owned();
        permit.map_err(|_| format!("busy: all {THREADS} threads are at work, try again later"))
    }
}

/// Writes down how the work of a thread ended. A thread that panics drops its call, which the list
/// then shows as failed.
fn finish_thread(
    thread: Result<(Call, anyhow::Result<Option<Digest>>), JoinError>,
) -> Result<Json<Digest>, String> {
    let (call, done) = thread.map_err(|error| error.to_string())?;
    call.finish(done).map(Json)
}

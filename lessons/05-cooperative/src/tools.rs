//! This lesson's tools: four ways to do the same work, three of which can be stopped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::model::RequestId;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, schemars, tool, tool_router};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use shared::calls::{Call, CallList, State};
use shared::server::Setup;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use crate::group::{Group, adopt, end_orphans, is_alive};
use crate::sort;
use crate::work::{Digest, Work, thread_cpu_us};

/// How many blocking threads the tools may use at once.
pub const THREADS: usize = 2;
/// After how many rows `polls` looks at its token, unless told otherwise.
pub const EVERY: u64 = 1000;

/// The file that all of them work on.
const FILE: &str = "large_dataset.csv";
/// One chunk of asynchronous work: what is done between two chances to stop.
const CHUNK: usize = 64 << 10;
/// A server that does real work.
#[derive(Debug, Clone)]
pub struct WorkServer {
    setup: Setup,
    threads: Arc<Semaphore>,
    left: Arc<Mutex<Left>>,
}

/// What calls may leave behind.
#[derive(Debug, Default)]
struct Left {
    not_stopping: Vec<RequestId>,
    groups: Vec<Pid>,
}

/// The answer of `leftovers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Leftovers {
    /// Blocking threads at work.
    pub busy_threads: usize,
    /// The calls that have been cancelled and whose threads work on.
    pub not_stopping: Vec<RequestId>,
    /// The process groups of which something is alive, if only as a zombie.
    pub live_groups: Vec<i32>,
}

/// Arguments of the tools that work.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct WorkArgs {
    /// How often to go through the file.
    passes: u32,
}

/// Arguments of `polls`.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct PollArgs {
    /// How often to go through the file.
    passes: u32,
    /// After how many rows to look at the token; 0 is never. 1000 if left out.
    every: Option<u64>,
}

#[tool_router(server_handler)]
impl WorkServer {
    /// A server over these files, writing into these calls.
    pub fn new(setup: Setup) -> Self {
        adopt();
        Self { setup, threads: Arc::new(Semaphore::new(THREADS)), left: Arc::default() }
    }

    /// Works in an async function. It can be stopped wherever it awaits.
    #[tool]
    async fn awaits(
        &self,
        Parameters(WorkArgs { passes }): Parameters<WorkArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<Json<Digest>, String> {
        let path = self.setup.data.find(FILE)?;
        let call = self.setup.calls.start("awaits", passes, &ctx);
        let mut work = Work::default();

        let working = async {
            for _ in 0..passes {
                let mut file = BufReader::with_capacity(CHUNK, tokio::fs::File::open(&path).await?);
                let mut lines = Vec::with_capacity(CHUNK);
                // Each of these awaits is a place to stop, and the work between two of them is
                // how long a stop can take. An async function that computes for a second
                // without awaiting cannot be stopped in that second, by nobody.
                while (&mut file).take(CHUNK as u64).read_to_end(&mut lines).await? > 0 {
                    file.read_until(b'\n', &mut lines).await?;
                    work.lines(&lines)?;
                    lines.clear();
                }
                call.step_done();
            }
            anyhow::Ok(())
        };
        let outcome = tokio::select! {
            () = ctx.ct.cancelled() => None,
            done = working => Some(done),
        };
        match outcome {
            None => {
                call.end(State::Cancelled);
                Err("cancelled".to_owned())
            }
            Some(Ok(())) => {
                call.end(State::Finished);
                Ok(Json(work.digest(None)))
            }
            Some(Err(error)) => Err(text(error)),
        }
    }

    /// Works on a blocking thread that looks at the token after so many rows.
    #[tool]
    async fn polls(
        &self,
        Parameters(PollArgs { passes, every }): Parameters<PollArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<Json<Digest>, String> {
        let path = self.setup.data.find(FILE)?;
        let permit = self.try_thread()?;
        let call = self.setup.calls.start("polls", passes, &ctx);
        let every = every.unwrap_or(EVERY);

        // A blocking thread has no await, so nothing outside can stop it: not `select!`, not
        // `abort()`. The token goes with it, and it asks. How often is a trade: the lesson
        // measures it.
        let stop = ctx.ct.clone();
        let worked = spawn_blocking(move || {
            let mut work = Work::default();
            let began = thread_cpu_us();
            let told = |row: u64| every > 0 && row.is_multiple_of(every) && stop.is_cancelled();
            for _ in 0..passes {
                if !work.file(&path, |row| !told(row))? {
                    drop(permit);
                    call.end(State::Cancelled);
                    return Ok(None);
                }
                call.step_done();
            }
            drop(permit);
            call.end(State::Finished);
            anyhow::Ok(Some(work.digest(Some(thread_cpu_us() - began))))
        });
        let digest = worked.await.map_err(text)?.map_err(text)?;
        digest.map(Json).ok_or_else(|| "cancelled".to_owned())
    }

    /// Leaves the work to another program: sorts the file, again and again.
    #[tool]
    async fn spawns(
        &self,
        Parameters(WorkArgs { passes }): Parameters<WorkArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let call = self.setup.calls.start("spawns", passes, &ctx);
        let mut group = self.start_sorting(passes)?;
        let sorted = tokio::select! {
            () = ctx.ct.cancelled() => None,
            done = sort::each_pass(&mut group, &call) => Some(done),
        };
        // On every way out: no process of the group stays, and the call ends only then.
        group.end().await;
        Self::sorted(sorted, call)
    }

    /// The same, but when it is cancelled it kills the child and nothing else.
    #[tool]
    async fn spawns_carelessly(
        &self,
        Parameters(WorkArgs { passes }): Parameters<WorkArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let call = self.setup.calls.start("spawns_carelessly", passes, &ctx);
        let mut group = self.start_sorting(passes)?;
        let sorted = tokio::select! {
            () = ctx.ct.cancelled() => None,
            done = sort::each_pass(&mut group, &call) => Some(done),
        };
        // The bug: `kill` is told of one process. tokio waits for that one as well, so no
        // zombie is left of it, and all looks well. What it has started lives on.
        group.child.kill().await.map_err(text)?;
        Self::sorted(sorted, call)
    }

    /// Works on a blocking thread that never looks at the token.
    #[tool]
    async fn ignores(
        &self,
        Parameters(WorkArgs { passes }): Parameters<WorkArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<Json<Digest>, String> {
        let path = self.setup.data.find(FILE)?;
        let permit = self.try_thread()?;
        let call = self.setup.calls.start("ignores", passes, &ctx);
        let mut working = spawn_blocking(move || {
            let mut work = Work::default();
            for _ in 0..passes {
                work.file(&path, |_| true)?;
                call.step_done();
            }
            // The permit is given back when the thread is done, not when nobody waits any more.
            drop(permit);
            anyhow::Ok((call, work.digest(None)))
        });
        let worked = tokio::select! {
            worked = &mut working => worked,
            () = ctx.ct.cancelled() => {
                // Nothing here can stop that thread. What is left is to say so, and not to
                // return: the call has not ended, and who asks must see that.
                self.left().not_stopping.push(ctx.id.clone());
                let worked = working.await;
                self.left().not_stopping.retain(|id| *id != ctx.id);
                worked
            }
        };
        let (call, digest) = worked.map_err(text)?.map_err(text)?;
        call.end(State::Finished);
        Ok(Json(digest))
    }

    /// Tells what is still at work: threads, and processes.
    #[tool]
    async fn leftovers(&self) -> Json<Leftovers> {
        let left = self.left();
        let live = left.groups.iter().filter(|group| is_alive(**group));
        Json(Leftovers {
            busy_threads: THREADS - self.threads.available_permits(),
            not_stopping: left.not_stopping.clone(),
            live_groups: live.map(|group| group.as_raw_nonzero().get()).collect(),
        })
    }

    /// Kills all processes that were left behind.
    #[tool]
    async fn sweep(&self) -> String {
        let groups = std::mem::take(&mut self.left().groups);
        for group in groups {
            end_orphans(group).await;
        }
        "swept".to_owned()
    }

    /// Lists the calls this server runs and has run, newest last.
    #[tool]
    async fn list_calls(&self) -> Json<CallList> {
        Json(self.setup.calls.list())
    }

    /// A thread, or an error: a queue behind threads that do not stop would only grow.
    fn try_thread(&self) -> Result<OwnedSemaphorePermit, String> {
        Arc::clone(&self.threads).try_acquire_owned().map_err(|_| {
            let stubborn = self.left().not_stopping.len();
            format!("busy: all {THREADS} threads are at work, {stubborn} of them for cancelled calls that do not stop")
        })
    }

    /// Starts to sort the file so many times, in processes of a group of their own.
    fn start_sorting(&self, passes: u32) -> Result<Group, String> {
        let group = sort::start(&self.setup.data.find(FILE)?, passes).map_err(text)?;
        let mut left = self.left();
        // The number of a group that has ended may be given to another.
        left.groups.retain(|group| is_alive(*group));
        left.groups.push(group.id);
        drop(left);
        Ok(group)
    }

    /// How sorting ended; none if it was cancelled.
    fn sorted(sorted: Option<std::io::Result<()>>, call: Call) -> Result<String, String> {
        match sorted {
            None => {
                call.end(State::Cancelled);
                Err("cancelled".to_owned())
            }
            Some(Ok(())) => {
                call.end(State::Finished);
                Ok(format!("sorted {FILE}"))
            }
            Some(Err(error)) => Err(text(error)),
        }
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "made for `map_err`")]
fn text(error: impl ToString) -> String {
    error.to_string()
}

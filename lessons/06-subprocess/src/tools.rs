//! This lesson's tools: two that leave the work to another program. One cares for what that
//! starts.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use anyhow::{Context, Error};
use nix::unistd::Pid;
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, schemars, tool, tool_router};
use serde::{Deserialize, Serialize};
use shared::calls::{Call, CallList};
use shared::dataset::LARGE;
use shared::server::Setup;
use tokio::task::spawn_blocking;

use crate::group::{Group, adopt};
use crate::sort;
use crate::table::{Process, members};

/// A server that starts other programs.
#[derive(Debug, Clone)]
pub struct SortServer {
    setup: Setup,
    groups: Arc<Mutex<Groups>>,
}

/// What the tools have started.
#[derive(Debug, Default)]
struct Groups {
    /// The ids of all groups. Each can be upgraded for as long as its [`Group`] exists.
    ids: Vec<Weak<Pid>>,
    /// The groups of which something may be left after their call.
    left_behind: Vec<Group>,
}

/// Arguments of the tools that sort.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct SortArgs {
    /// How often to sort the file.
    #[schemars(extend("default" = 10))]
    passes: u32,
}

/// The answer of `processes`.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Processes {
    /// The id of the server's own process.
    pub server: u32,
    /// What the tools have started and what is still there.
    pub processes: Vec<Process>,
}

#[tool_router(server_handler)]
impl SortServer {
    /// A server over these files, writing into these calls.
    pub fn new(setup: Setup) -> Self {
        adopt();
        Self { setup, groups: Arc::default() }
    }

    /// Sorts the file, again and again, in another program. Ends that program, and all that it
    /// has started, when the call ends.
    #[tool(
        title = "Sort in another program",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn spawns(
        &self,
        Parameters(SortArgs { passes }): Parameters<SortArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let call = self.setup.calls.start("spawns", passes, &ctx);
        let done = self.sort(passes, &call, &ctx).await;
        finish(call, done)
    }

    /// The same, but when it is cancelled it kills the child and nothing else.
    #[tool(
        title = "Sort, and leave processes behind",
        annotations(
            read_only_hint = false,
            destructive_hint = false,
            idempotent_hint = false,
            open_world_hint = false
        )
    )]
    async fn spawns_carelessly(
        &self,
        Parameters(SortArgs { passes }): Parameters<SortArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let call = self.setup.calls.start("spawns_carelessly", passes, &ctx);
        let done = self.sort_carelessly(passes, &call, &ctx).await;
        finish(call, done)
    }

    /// Lists the processes that the tools have started and that are still there.
    #[tool(
        title = "List the processes",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn processes(&self) -> Result<Json<Processes>, String> {
        let ids: Vec<_> = self.groups().ids.iter().filter_map(Weak::upgrade).collect();
        let listed = spawn_blocking(move || {
            let listed: io::Result<Vec<_>> = ids.iter().map(|id| members(**id)).collect();
            listed.map(|groups| groups.concat())
        });
        let listed = listed.await.map_err(|error| error.to_string())?;
        let processes = listed.map_err(|error| format!("no list of processes: {error}"))?;
        Ok(Json(Processes { server: std::process::id(), processes }))
    }

    /// Kills all processes that calls have left behind.
    #[tool(
        title = "Kill what is left behind",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn sweep(&self) -> Result<String, String> {
        let mut groups = std::mem::take(&mut self.groups().left_behind);
        let count = groups.len();
        while let Some(group) = groups.last_mut() {
            if let Err(error) = group.end().await {
                self.groups().left_behind.append(&mut groups);
                return Err(format!("{error:#}"));
            }
            groups.pop();
        }
        Ok(format!("groups swept: {count}"))
    }

    /// Lists the calls this server runs and has run, newest last.
    #[tool(title = "List the calls", annotations(read_only_hint = true, open_world_hint = false))]
    async fn list_calls(&self) -> Json<CallList> {
        Json(self.setup.calls.list())
    }

    /// The good way. `None` means: cancelled, and no process is left.
    async fn sort(
        &self,
        passes: u32,
        call: &Call,
        ctx: &RequestContext<RoleServer>,
    ) -> anyhow::Result<Option<()>> {
        let path = self.setup.data.find(LARGE).map_err(Error::msg)?;
        let mut group = self.register(sort::start(&path, passes))?;
        let sorted = tokio::select! {
            biased;
            () = ctx.ct.cancelled() => None,
            done = sort::each_pass(&mut group, passes, call) => Some(done),
        };
        // All ways lead here: done, failed, cancelled. The call ends when the last process has.
        group.end().await?;
        sorted.transpose()
    }

    /// The bad way: it knows of one process.
    async fn sort_carelessly(
        &self,
        passes: u32,
        call: &Call,
        ctx: &RequestContext<RoleServer>,
    ) -> anyhow::Result<Option<()>> {
        let path = self.setup.data.find(LARGE).map_err(Error::msg)?;
        let mut group = self.register(sort::start_unwatched(&path, passes))?;
        let sorted = tokio::select! {
            biased;
            () = ctx.ct.cancelled() => None,
            done = sort::each_pass(&mut group, passes, call) => Some(done),
        };
        // The bug. The child is dead, and all looks well. What it has started lives on.
        let killed = group.leader.start_kill();
        // Not part of the bug: the lesson wants to show what is left, and to sweep it up.
        self.groups().left_behind.push(group);
        killed?;
        sorted.transpose()
    }

    /// A group that `processes` knows of.
    fn register(&self, started: io::Result<Group>) -> anyhow::Result<Group> {
        let group = started.context("cannot start sh")?;
        let mut groups = self.groups();
        groups.ids.retain(|id| id.strong_count() > 0);
        groups.ids.push(group.id());
        Ok(group)
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes down how the call ended.
fn finish(call: Call, done: anyhow::Result<Option<()>>) -> Result<String, String> {
    call.finish(done).map(|()| format!("sorted {LARGE}"))
}

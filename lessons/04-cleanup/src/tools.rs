//! This lesson's tools: three exports that hold the same kinds of things, and end differently.
//!
//! Each holds a permit of a small pool and an unfinished file while it works; two of them
//! also a lease, a row in a database. All three look at the token and stop at once when the
//! client cancels. What they differ in is what they give back.

use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::model::ProgressNotificationParam;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, schemars, tool, tool_router};
use serde::Deserialize;
use shared::calls::{Call, CallList, State};
use shared::server::Setup;
use tokio::time::{Duration, sleep};

use crate::resources::{Inventory, Resources, Unfinished};

/// Arguments of the exports.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct ExportArgs {
    /// The name of the report; it becomes `NAME.csv` in the server's export folder.
    report: String,
}

/// How many steps an export takes.
const STEPS: u32 = 4;
/// How long a step takes at least: who looks at an export that reports a step finds it at work.
const MIN_STEP: Duration = Duration::from_millis(50);

/// A server whose tools hold things.
#[derive(Debug, Clone)]
pub struct ExportServer {
    setup: Setup,
    resources: Resources,
}

#[tool_router(server_handler)]
impl ExportServer {
    /// A server over these files, with an export folder and a lease database of its own.
    pub fn new(setup: Setup) -> anyhow::Result<Self> {
        Ok(Self { setup, resources: Resources::new()? })
    }

    /// Exports a report. Leaks everything it holds when it is cancelled.
    #[tool]
    async fn export_leaky(
        &self,
        Parameters(args): Parameters<ExportArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let held = &self.resources;
        let report = held.check_name(&args.report)?;
        let call = self.setup.calls.start("export_leaky", STEPS, &ctx);

        // Take by hand, give back by hand: the pattern of every language without destructors.
        held.try_permit()?.forget();
        held.take_lease(report).await?;
        let file =
            std::fs::File::create_new(held.path(&format!("{report}.csv.tmp"))).map_err(text)?;

        tokio::select! {
            () = ctx.ct.cancelled() => {
                // The bug. It stops at once, as it was told; a look at the response time, or
                // at the CPU, shows a tool that cancels perfectly. But this is an early
                // return, and all that gives back is further down.
                call.end(State::Cancelled);
                return Err("cancelled".to_owned());
            }
            written = self.write(&file, &call, &ctx) => written?,
        }

        std::fs::rename(
            held.path(&format!("{report}.csv.tmp")),
            held.path(&format!("{report}.csv")),
        )
        .map_err(text)?;
        held.give_back_lease(report).await?;
        held.add_permit();
        call.end(State::Finished);
        Ok(format!("exported {report}.csv"))
    }

    /// Exports a report. What it holds is given back by `Drop`, however it ends.
    #[tool]
    async fn export_raii(
        &self,
        Parameters(args): Parameters<ExportArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let held = &self.resources;
        let report = held.check_name(&args.report)?;
        let call = self.setup.calls.start("export_raii", STEPS, &ctx);

        // The work owns what it holds: a permit that returns itself, a file that removes
        // itself unless it is published. Whoever drops this future, at whichever `.await` it
        // stands, runs both destructors. Nothing else of it runs: no line after that
        // `.await`, no error branch. That is what "cancel safe" is about: between two
        // `.await`s the state must be such that dropping everything is a clean end.
        let work = async {
            let _permit = held.try_permit()?;
            let file = Unfinished::create(held, report)?;
            self.write(file.as_file(), &call, &ctx).await?;
            file.publish()
        };
        let outcome = tokio::select! {
            () = ctx.ct.cancelled() => None,
            done = work => Some(done),
        };
        // `select!` has dropped the loser by now, so this is true when it is written down.
        match outcome {
            None => {
                call.end(State::Cancelled);
                Err("cancelled".to_owned())
            }
            Some(Ok(())) => {
                call.end(State::Finished);
                Ok(format!("exported {report}.csv"))
            }
            Some(Err(error)) => Err(error),
        }
    }

    /// Exports a report under a lease. Giving a lease back takes an `.await`, so it is done
    /// by code that was told of the cancellation, not by a destructor.
    #[tool]
    async fn export_async(
        &self,
        Parameters(args): Parameters<ExportArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let held = &self.resources;
        let report = held.check_name(&args.report)?;
        let call = self.setup.calls.start("export_async", STEPS, &ctx);

        let _permit = held.try_permit()?;
        held.take_lease(report).await?;
        let work = async {
            let file = Unfinished::create(held, report)?;
            self.write(file.as_file(), &call, &ctx).await?;
            file.publish()
        };
        let outcome = tokio::select! {
            () = ctx.ct.cancelled() => None,
            done = work => Some(done),
        };
        // From the lease on, all ways meet here: done, failed, cancelled. `drop` cannot wait for a database; we
        // can, because rmcp did not drop this handler. It only told us. Had it aborted the
        // task, or had a caller put a timeout around us, this line would never be reached.
        let gave_back = held.give_back_lease(report).await;

        match (outcome, gave_back) {
            (None, Ok(())) => {
                call.end(State::Cancelled);
                Err("cancelled".to_owned())
            }
            (Some(Ok(())), Ok(())) => {
                call.end(State::Finished);
                Ok(format!("exported {report}.csv"))
            }
            // Dropped without a word on its end, `call` is written down as failed.
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
        }
    }

    /// Tells what the server holds at this moment: free permits, files, leases.
    #[tool]
    async fn inventory(&self) -> Result<Json<Inventory>, String> {
        Ok(Json(self.resources.inventory().await?))
    }

    /// Gives back all that was leaked and removes all files: what a restart would do.
    #[tool]
    async fn repair(&self) -> Result<String, String> {
        self.resources.repair().await?;
        Ok("repaired".to_owned())
    }

    /// Lists the calls this server runs and has run, newest last.
    #[tool]
    async fn list_calls(&self) -> Json<CallList> {
        Json(self.setup.calls.list())
    }

    /// Writes the report, a share of it in each step. Knows nothing of cancellation: who
    /// awaits it may drop it at any `.await`.
    async fn write(
        &self,
        mut file: &std::fs::File,
        call: &Call,
        ctx: &RequestContext<RoleServer>,
    ) -> Result<(), String> {
        use std::io::Write;
        let source = self.setup.data.find("part_9.csv")?;
        let rows = std::fs::read(source).map_err(text)?;
        for (step, share) in rows.chunks(rows.len().div_ceil(STEPS as usize)).enumerate() {
            report_progress(ctx, step).await;
            sleep(self.setup.tick.max(MIN_STEP)).await;
            // A few kilobytes: sooner written than handed to another thread.
            file.write_all(share).map_err(text)?;
            call.step_done();
        }
        file.sync_all().map_err(text)
    }
}

async fn report_progress(ctx: &RequestContext<RoleServer>, step: usize) {
    if let Some(token) = ctx.meta.get_progress_token() {
        let progress = ProgressNotificationParam::new(token, step as f64);
        let _ = ctx.peer.notify_progress(progress.with_total(f64::from(STEPS))).await;
    }
}

#[expect(clippy::needless_pass_by_value, reason = "made for `map_err`")]
pub(crate) fn text(error: impl ToString) -> String {
    error.to_string()
}

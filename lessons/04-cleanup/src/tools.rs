//! This lesson's tools: three exports. All of them look at the token and stop at once when the
//! client cancels. They differ in what they give back.

use std::num::NonZeroU32;

use anyhow::{Error, ensure};
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::model::ProgressNotificationParam;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, schemars, tool, tool_router};
use serde::Deserialize;
use shared::calls::{Call, CallList};
use shared::server::Setup;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::time::{Duration, sleep};

use crate::resources::{Inventory, Resources};

/// Arguments of the exports.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct ExportArgs {
    /// The name of the report. The file is called `NAME.csv`.
    #[schemars(extend("default" = "report"))]
    report: String,
    /// How many steps the work takes; 4 if left out.
    #[serde(default = "four")]
    steps: NonZeroU32,
}

fn four() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(3)
}

/// How long a step takes at least. Without a pause a short tick would leave nothing to cancel.
const MIN_STEP: Duration = Duration::from_millis(10);

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

    /// Exports a report. Gives back everything it holds, whether it finishes or is cancelled.
    #[tool(
        title = "Export a report",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn export(
        &self,
        Parameters(args): Parameters<ExportArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let _running = self.resources.begin_export()?;
        let call = self.setup.calls.start("export", args.steps.get(), &ctx);
        let done = self.write_report(&args, &call, &ctx).await;
        finish(call, &args, done)
    }

    /// Exports a report. When it is cancelled, it leaks everything it holds.
    #[tool(
        title = "Export a report, and leak",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = false,
            open_world_hint = false
        )
    )]
    async fn export_leaky(
        &self,
        Parameters(args): Parameters<ExportArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let _running = self.resources.begin_export()?;
        let call = self.setup.calls.start("export_leaky", args.steps.get(), &ctx);
        let done = self.write_report_leaking(&args, &call, &ctx).await;
        finish(call, &args, done)
    }

    /// Exports a report under a lease, which is a row in a database.
    #[tool(
        title = "Export a report under a lease",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn export_leased(
        &self,
        Parameters(args): Parameters<ExportArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let _running = self.resources.begin_export()?;
        let call = self.setup.calls.start("export_leased", args.steps.get(), &ctx);
        let held = &self.resources;
        held.take_lease(&args.report).await.map_err(|error| format!("{error:#}"))?;
        // From here on nothing may leave this function before the lease is given back: no `?`,
        // no `return`. `Drop` cannot do it, because asking a database takes an `.await`. We can,
        // because rmcp did not drop this handler, it only told us. A timeout around the handler
        // would drop it here, and the lease would stay.
        let done = self.write_report(&args, &call, &ctx).await;
        let gave_back = held.give_back_lease(&args.report).await;
        finish(call, &args, gave_back.and(done))
    }

    /// Tells what the server holds at this moment: free permits, files, leases.
    #[tool(
        title = "Show what is held",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn inventory(&self) -> Result<Json<Inventory>, String> {
        self.resources.inventory().await.map(Json).map_err(|error| format!("{error:#}"))
    }

    /// Waits until no export runs. Then gives back all that was leaked and removes all files.
    #[tool(
        title = "Repair all leaks",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn repair(&self) -> Result<String, String> {
        let repaired = self.resources.repair().await;
        repaired.map(|()| "repaired".to_owned()).map_err(|error| format!("{error:#}"))
    }

    /// Lists the calls this server runs and has run, newest last.
    #[tool(title = "List the calls", annotations(read_only_hint = true, open_world_hint = false))]
    async fn list_calls(&self) -> Json<CallList> {
        Json(self.setup.calls.list())
    }

    /// The good way. `None` means: cancelled, and everything is given back.
    async fn write_report(
        &self,
        args: &ExportArgs,
        call: &Call,
        ctx: &RequestContext<RoleServer>,
    ) -> anyhow::Result<Option<()>> {
        let held = &self.resources;
        // Each of these is a value that gives itself back in its `Drop`. So every way out of
        // this function gives them back: the end, each `?`, and the cancel.
        let _permit = held.try_permit()?;
        let file = held.unfinished(checked(&args.report)?).await?;
        tokio::select! {
            biased;
            // `select!` drops the loser, here `write`. It may stand at any of its `.await`s, and
            // no further line of it runs, only destructors. `write` is *cancel safe* here,
            // because half a temporary file harms nobody.
            () = ctx.ct.cancelled() => return Ok(None),
            written = self.write(file.writer()?, args, call, ctx) => written?,
        }
        // A critical section. Once the report is whole, a cancel comes too late: it does not drop
        // this `.await`, so the rename is done or not done, and we know which.
        file.publish().await?;
        Ok(Some(()))
    }

    /// The bad way: take by hand, give back by hand.
    async fn write_report_leaking(
        &self,
        args: &ExportArgs,
        call: &Call,
        ctx: &RequestContext<RoleServer>,
    ) -> anyhow::Result<Option<()>> {
        let held = &self.resources;
        held.try_permit()?.forget();
        let file = held.unfinished(checked(&args.report)?).await?;
        let writer = file.writer()?;
        let (temporary, finished) = file.keep()?;
        tokio::select! {
            biased;
            // The bug. The tool stops at once, so response times and processor load look
            // perfect. But this is an early return, and the code that gives back is below.
            () = ctx.ct.cancelled() => return Ok(None),
            written = self.write(writer, args, call, ctx) => written?,
        }
        tokio::fs::rename(temporary, finished).await?;
        held.add_permit();
        Ok(Some(()))
    }

    /// Writes the report, a share of it in each step. Knows nothing of cancellation.
    async fn write(
        &self,
        mut file: File,
        args: &ExportArgs,
        call: &Call,
        ctx: &RequestContext<RoleServer>,
    ) -> anyhow::Result<()> {
        let source = self.setup.data.find("part_9.csv").map_err(Error::msg)?;
        let rows = tokio::fs::read(source).await?;
        let steps = args.steps.get();
        let upto = |step: u32| rows.len() * step as usize / steps as usize;
        for step in 1..=steps {
            file.write_all(&rows[upto(step - 1)..upto(step)]).await?;
            file.flush().await?;
            call.step_done();
            report_progress(ctx, step, steps).await;
            sleep(self.setup.tick.max(MIN_STEP)).await;
        }
        Ok(file.sync_all().await?)
    }
}

/// Writes down how the call ended. By now the tool has given back all that it ever will, so a client
/// that reads "cancelled" in the list can look at what is left.
fn finish(
    call: Call,
    args: &ExportArgs,
    done: anyhow::Result<Option<()>>,
) -> Result<String, String> {
    call.finish(done).map(|()| format!("exported {}.csv", args.report))
}

/// A report's name becomes a file name, so it may not be a path.
fn checked(report: &str) -> anyhow::Result<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    ensure!(
        !report.is_empty() && report.len() <= 64 && report.chars().all(plain),
        "report must be 1 to 64 letters, digits, '-' or '_', not {report:?}"
    );
    Ok(report)
}

async fn report_progress(ctx: &RequestContext<RoleServer>, step: u32, steps: u32) {
    if let Some(token) = ctx.meta.get_progress_token() {
        let progress = ProgressNotificationParam::new(token, step.into()).with_total(steps.into());
        // If this fails, nobody reads it. Whether that is a cancel is for `ctx.ct` to say.
        let _ = ctx.peer.notify_progress(progress).await;
    }
}

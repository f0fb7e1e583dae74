//! The common server: one tool worth cancelling, and one that tells the truth about it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::model::{CallToolResult, ContentBlock, ProgressNotificationParam};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, schemars, tool, tool_router};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::calls::{Call, CallList, Calls};
use crate::dataset::{DataFolder, LARGE, Scan, Summary};
use crate::stop::Stop;

/// The longest `processing_time`, in steps.
pub const MAX_STEPS: u32 = 3600;

/// What the command line gives to a lesson's server.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The folder whose files the tools read.
    pub data: DataFolder,
    /// Where the server writes down its calls.
    pub calls: Calls,
    /// The length of one step of work.
    pub tick: Duration,
    /// Tells the server to stop, and counts what still runs.
    pub stop: Stop,
}

/// The server of most lessons: `process_large_file` and `list_calls`.
#[derive(Debug, Clone)]
pub struct FileServer {
    setup: Setup,
}

/// Arguments of `process_large_file`.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct ProcessArgs {
    /// A file of the data folder.
    #[schemars(extend("default" = LARGE))]
    pub filename: String,
    /// How many steps the work takes.
    #[serde(default = "ten", deserialize_with = "steps")]
    #[schemars(range(min = 1, max = MAX_STEPS))]
    pub processing_time: u32,
}

fn ten() -> u32 {
    10
}

fn steps<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    from_one_to(MAX_STEPS, "processing_time", from)
}

/// An argument of a tool that is a whole number from 1 to `max`, checked as it is read. The error
/// names the argument and the bounds.
pub fn from_one_to<'de, D: Deserializer<'de>>(
    max: u32,
    argument: &str,
    from: D,
) -> Result<u32, D::Error> {
    let value = Value::deserialize(from)?;
    let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
    number.filter(|number| (1..=max).contains(number)).ok_or_else(|| {
        let allowed = format!("a whole number from 1 to {max}");
        D::Error::custom(format!("{argument} must be {allowed}, not {value}"))
    })
}

#[tool_router(server_handler)]
impl FileServer {
    /// A server over these files, writing into these calls.
    pub fn new(setup: Setup) -> Self {
        Self { setup }
    }

    /// Reads a CSV file in `processing_time` steps and returns statistics of its columns.
    /// Reports progress after each step, in bytes. Can be cancelled at any time.
    #[tool(
        title = "Process a large file",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    pub async fn process_large_file(
        &self,
        Parameters(args): Parameters<ProcessArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, String> {
        let path = self.setup.data.find(&args.filename)?;
        let steps = args.processing_time;
        let call = self.setup.calls.start("process_large_file", steps, &ctx);
        let done = self.process(path, steps, &call, &ctx).await;
        let done = done.with_context(|| format!("{} cannot be read as CSV", args.filename));
        // Done, cancelled, or failed: the list says so only now that the work has stopped. What
        // a cancelled handler returns nobody reads, because rmcp drops it.
        call.finish(done).map(|summary| processed(&args.filename, &summary))
    }

    /// Lists the calls this server runs and has run, newest last: how many steps each has
    /// done, how it ended, and the reason if it was cancelled with one.
    #[tool(title = "List the calls", annotations(read_only_hint = true, open_world_hint = false))]
    async fn list_calls(&self) -> Json<CallList> {
        Json(self.setup.calls.list())
    }

    /// The work itself. `None` means: cancelled, and stopped.
    pub async fn process(
        &self,
        path: PathBuf,
        steps: u32,
        call: &Call,
        caller: &impl Caller,
    ) -> anyhow::Result<Option<Summary>> {
        // Parsing blocks, so it belongs on a blocking thread. Such a thread cannot be
        // aborted: the token goes with it, and `.await` here returns once it has stopped.
        let mut scan = spawn_blocking(move || Scan::open(&path)).await??;

        let mut told = None;
        for step in 0..=steps {
            // Step 0 only tells that the work begins.
            let step_ends = Instant::now() + self.setup.tick * step.min(1);
            let bytes = scan.length() * u64::from(step) / u64::from(steps);
            if step > 0 {
                let stop = caller.stop().clone();
                scan =
                    spawn_blocking(move || scan.read_until(bytes, &stop).map(|()| scan)).await??;
            }
            // The rest of the step, and the news of it: two places to wait, and at both
            // the token comes first. An unguarded `notify_progress` can wait for a client
            // that has gone away.
            tokio::select! {
                biased;
                () = caller.stop().cancelled() => return Ok(None),
                () = sleep_until(step_ends) => {}
            }
            if step > 0 {
                call.step_done();
            }
            // Progress must grow (basic/utilities/progress), and a short file has fewer bytes than steps.
            if told.replace(bytes) == Some(bytes) {
                continue;
            }
            let news = caller.report(bytes, scan.length(), format!("{} rows", scan.summary().rows));
            tokio::select! {
                biased;
                () = caller.stop().cancelled() => return Ok(None),
                () = news => {}
            }
        }
        Ok(Some(scan.summary().clone()))
    }
}

/// For whom a tool works: somebody who may lose interest, and wants to know how far it is.
pub trait Caller: Sync {
    /// Fires when the work is no longer wanted.
    fn stop(&self) -> &CancellationToken;

    /// Tells that so much of the whole is done, both in bytes. That nobody can be told is no error.
    fn report(&self, done: u64, whole: u64, message: String) -> impl Future<Output = ()> + Send;
}

/// A request whose caller waits for the result.
impl Caller for RequestContext<RoleServer> {
    fn stop(&self) -> &CancellationToken {
        &self.ct
    }

    /// Sends a progress notification, if the caller gave a progress token to ask for them.
    async fn report(&self, done: u64, whole: u64, message: String) {
        if let Some(token) = self.meta.get_progress_token() {
            let progress = ProgressNotificationParam::new(token, done as f64)
                .with_total(whole as f64)
                .with_message(message);
            // If the client is gone, `ct` says so, not this error.
            let _ = self.peer.notify_progress(progress).await;
        }
    }
}

/// The result of `process_large_file`.
pub fn processed(filename: &str, summary: &Summary) -> CallToolResult {
    let text = format!("Successfully processed {filename}");
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    result.structured_content = Some(serde_json::json!(summary));
    result
}

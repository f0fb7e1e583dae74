//! The work of this lesson's tools. It knows nothing of requests and tasks but this: somebody
//! may tell it to stop, and somebody wants to know how far it is.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use course::narrate::bar;
use rmcp::RoleServer;
use rmcp::model::ProgressNotificationParam;
use rmcp::service::RequestContext;
use shared::calls::Call;
use shared::dataset::{Scan, Summary};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::store::TaskHandle;

/// How many steps a posting takes.
pub(crate) const POSTING_STEPS: u32 = 10;

/// Whom a tool works for.
#[derive(Debug)]
pub enum Caller {
    /// A request that waits for the result.
    Waiting(RequestContext<RoleServer>),
    /// A task, whose request was answered long ago.
    Task(TaskHandle),
}

impl Caller {
    /// Fires when this work is no longer wanted.
    pub fn stop(&self) -> &CancellationToken {
        match self {
            Self::Waiting(ctx) => &ctx.ct,
            Self::Task(task) => task.stop(),
        }
    }

    /// Tells how far the work is: a progress notification, or a line to be read with the task.
    async fn report(&self, done: u32, total: u32, what: &str) {
        let (share, whole) = (f64::from(done), f64::from(total));
        match self {
            Self::Waiting(ctx) => {
                if let Some(token) = ctx.meta.get_progress_token() {
                    let progress = ProgressNotificationParam::new(token, share).with_total(whole);
                    tokio::select! {
                        () = ctx.ct.cancelled() => {}
                        _ = ctx.peer.notify_progress(progress) => {}
                    }
                }
            }
            Self::Task(task) => {
                task.say(format!("{} {what} {done} of {total}", bar(share, whole)));
            }
        }
    }
}

/// Reads the file step by step. `None` means: cancelled, and stopped.
pub(crate) async fn process(
    path: &Path,
    steps: u32,
    tick: Duration,
    call: &Call,
    caller: &Caller,
) -> anyhow::Result<Option<Summary>> {
    caller.report(0, steps, "step").await;
    let (file, stop) = (path.to_owned(), caller.stop().clone());
    // A blocking thread cannot be aborted, so the token goes along.
    let (rows, mut scan) =
        spawn_blocking(move || anyhow::Ok((Scan::count_rows(&file, &stop)?, Scan::open(&file)?)))
            .await??;
    for step in 1..=steps {
        let step_ends = Instant::now() + tick;
        let until = rows * u64::from(step) / u64::from(steps);
        let stop = caller.stop().clone();
        scan = spawn_blocking(move || scan.read_until(until, &stop).map(|()| scan)).await??;
        tokio::select! {
            biased;
            () = caller.stop().cancelled() => return Ok(None),
            () = sleep_until(step_ends) => {}
        }
        call.step_done();
        caller.report(step, steps, "step").await;
    }
    Ok(Some(scan.summary().clone()))
}

/// Appends the file's rows to the journal, a share of them in each step.
pub(crate) async fn post(
    path: &Path,
    mut journal: &File,
    tick: Duration,
    call: &Call,
    caller: &Caller,
) -> std::io::Result<usize> {
    let text = tokio::fs::read_to_string(path).await?;
    let rows: Vec<_> = text.split_inclusive('\n').skip(1).collect();
    for (step, share) in (1..).zip(rows.chunks(rows.len().div_ceil(POSTING_STEPS as usize).max(1)))
    {
        // Some ten kilobytes: sooner written than handed to another thread.
        journal.write_all(share.concat().as_bytes())?;
        call.step_done();
        caller.report(step, POSTING_STEPS, "cannot be stopped now: posting").await;
        sleep(tick).await;
    }
    journal.sync_all()?;
    Ok(rows.len())
}

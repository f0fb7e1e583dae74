//! The check of the exercise: exports that end in five ways, and what each has left behind.

use std::time::Duration;

use anyhow::{bail, ensure};
use course::exercise::tool::{Bench, Context, Job, Outcome, TOOL};
use course::exercise::{Clock, Exercise};
use course::lesson::Protocol;
use serde_json::json;
use shared::calls::State;
use shared::client::tool_call;
use tokio::fs;
use tokio::time::sleep;

use crate::in_words;
use crate::resources::{Inventory, PERMITS, Resources};

/// The exercise of this lesson.
pub const EXERCISE: Exercise = Exercise {
    stub: include_str!("stub.rs"),
    solution: include_str!("solution.rs"),
    file: concat!(env!("CARGO_MANIFEST_DIR"), "/src/exercise.rs"),
    clock: Clock::Paused,
    check: || Box::pin(check(crate::exercise::export)),
};

const STEPS: usize = 4;
const PART: &[u8] = b"a row\n";
const TICK: Duration = Duration::from_secs(1);

/// A report to write.
#[derive(Debug, Clone)]
pub struct Report {
    job: Job,
    broken: bool,
}

impl Report {
    /// Its name: that of its lease, and of its file.
    pub fn name(&self) -> &'static str {
        "report"
    }

    /// How many parts it has.
    pub fn parts(&self) -> u64 {
        self.job.steps()
    }

    /// Its next part. That takes a while, and it may fail.
    pub async fn part(&self) -> anyhow::Result<Vec<u8>> {
        self.job.step().await;
        ensure!(!self.broken, "the source of the report is broken");
        Ok(PART.to_vec())
    }
}

/// The ways in which an export may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Finished,
    Cancelled,
    Broken,
    DiskFull,
    LeaseTaken,
}

impl Way {
    fn in_words(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Cancelled => "was cancelled",
            Self::Broken => "failed",
            Self::DiskFull => "met a full disk",
            Self::LeaseTaken => "was refused its lease",
        }
    }
}

/// Plays an answer.
pub async fn check<F, A>(export: F) -> anyhow::Result<String>
where
    F: Fn(Report, Resources, Context) -> A + Copy + Send + Sync + 'static,
    A: Future<Output = Outcome> + Send + 'static,
{
    for way in [Way::Finished, Way::Cancelled, Way::Broken, Way::DiskFull, Way::LeaseTaken] {
        play(export, way).await?;
    }
    Ok("whichever way your tool ends, it gives back what it took, and nothing else".to_owned())
}

async fn play<F, A>(export: F, way: Way) -> anyhow::Result<()>
where
    F: Fn(Report, Resources, Context) -> A + Copy + Send + Sync + 'static,
    A: Future<Output = Outcome> + Send + 'static,
{
    let mut held = Resources::new()?;
    held.disk_full = way == Way::DiskFull;
    let nothing = held.inventory().await?;
    if way == Way::LeaseTaken {
        held.take_lease("report").await?;
    }
    let (given, broken) = (held.clone(), way == Way::Broken);
    let tool = move |job, ctx| export(Report { job, broken }, given.clone(), ctx);
    let bench = Bench::new(tool, TICK, Protocol::V2025)?;
    let client = bench.stage.connect().await?;
    // A write ends later, and its error comes with the next write or the flush: with a single part
    // that is the flush.
    let steps = if way == Way::DiskFull { 1 } else { STEPS };
    let call = tool_call(TOOL, json!({ "processing_time": steps }));
    let options = rmcp::service::PeerRequestOptions::no_options();
    let handle = client.send_cancellable_request(call, options).await?;
    let number = client.newest(TOOL).await?;

    // In the middle of its first part.
    sleep(TICK / 2).await;
    let now = held.inventory().await?;
    if way != Way::LeaseTaken {
        let all = (PERMITS - 1, 1, 1);
        ensure!(
            (now.permits_free, now.unfinished.len(), now.leases.len()) == all,
            "while your tool works, it does not hold a permit, a temporary file and the lease: {}\n\
             held.try_permit(), held.unfinished(name), held.take_lease(name): before the first part",
            in_words(&now)
        );
    }
    if way == Way::Cancelled {
        handle.cancel(None).await?;
    }
    let record = client.ask_until_ended(number).await?;
    let left = held.inventory().await?;
    let how = way.in_words();
    println!("   {how:22} {}", in_words(&left));

    let state = match way {
        Way::Finished => State::Finished,
        Way::Cancelled => State::Cancelled,
        Way::Broken | Way::DiskFull | Way::LeaseTaken => State::Failed,
    };
    let advice = match way {
        Way::DiskFull => PARTS,
        Way::Cancelled if record.steps_done == record.steps_total => {
            "it did not stop: it wrote the whole report after the cancel: select! over \
             ctx.ct.cancelled() and the part"
        }
        _ => "Ok(Some(text)) is finished, Ok(None) is cancelled, Err(error) is failed",
    };
    ensure!(
        record.state == state,
        "an export that {how} is {} in the server's list\n{advice}",
        format!("{:?}", record.state).to_lowercase()
    );
    let mut expected = nothing;
    match way {
        Way::Finished => expected.finished.push("report.csv".to_owned()),
        Way::LeaseTaken => expected.leases.push("report".to_owned()),
        Way::Cancelled | Way::Broken | Way::DiskFull => {}
    }
    if left != expected {
        bail!("an export that {how} {}", complaint(&left, &expected));
    }
    if way == Way::Finished {
        let published = fs::read(held.exports().join("report.csv")).await?;
        let whole = PART.repeat(STEPS);
        ensure!(
            published == whole,
            "an export that {how} has published {} bytes, and not the {} of its parts\n{PARTS}",
            published.len(),
            whole.len()
        );
    }
    client.close().await
}

const PARTS: &str = "the report does not hold all its parts: write each, then flush before you \
                     publish";

/// What is wrong with what is left, and what to do about it.
fn complaint(left: &Inventory, expected: &Inventory) -> String {
    let (what, advice) = if left.leases.len() > expected.leases.len() {
        (
            "still holds the lease",
            "no `?` and no `return` may stand between taking the lease and giving it back: put the \
             work into a function or a block of its own",
        )
    } else if left.leases.len() < expected.leases.len() {
        (
            "gave back a lease that somebody else holds",
            "give back only what you have taken: if take_lease fails, there is nothing to give back",
        )
    } else if left.permits_free < expected.permits_free {
        ("still holds the permit", "the permit gives itself back when it is dropped: let it be")
    } else if left.unfinished != expected.unfinished {
        ("leaves a temporary file", "the file removes itself when it is dropped: let it be")
    } else {
        ("does not leave the right reports", "publish the file when its last part is written")
    };
    format!("{what}: {}\n{advice}", in_words(left))
}

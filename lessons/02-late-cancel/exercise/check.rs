//! The check of the exercise: calls that are cancelled at four moments, each with books of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use course::exercise::tool::{Bench, Context, Outcome, TOOL};
use course::exercise::{Clock, Exercise};
use course::lesson::Protocol;
use serde_json::Value;
use shared::calls::State;
use shared::client::tool_call;
use tokio::time::sleep;

/// The exercise of this lesson.
pub const EXERCISE: Exercise = Exercise {
    stub: include_str!("stub.rs"),
    solution: include_str!("solution.rs"),
    file: concat!(env!("CARGO_MANIFEST_DIR"), "/src/exercise.rs"),
    clock: Clock::Paused,
    check: || Box::pin(check(crate::exercise::count_rows)),
};

/// How long the rows are counted.
const COUNTING: Duration = Duration::from_secs(5);
/// How long an entry in the books takes.
const WRITING: Duration = Duration::from_secs(1);

/// A count, and what is written down of it. Clones are the same count.
#[derive(Debug, Clone, Default)]
pub struct Count(Arc<Mutex<Books>>);

#[derive(Debug, Clone, Default)]
struct Books {
    begun: usize,
    ends: Vec<End>,
}

/// How a call ended, by the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is charged for.
    Finished,
    /// It is not.
    Cancelled,
}

impl Count {
    /// Counts the rows. That takes a while.
    pub async fn rows(&self) -> u64 {
        sleep(COUNTING).await;
        100_000
    }

    /// Writes down how the call ended. The books are kept elsewhere, so that takes a while too.
    pub async fn write(&self, end: End) {
        self.books().begun += 1;
        sleep(WRITING).await;
        self.books().ends.push(end);
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the calls are cancelled, and how they must end.
const MOMENTS: [(&str, Option<Duration>, Option<End>); 4] = [
    ("that nobody cancelled", None, Some(End::Finished)),
    ("cancelled while it counted", Some(Duration::from_secs(2)), Some(End::Cancelled)),
    // Either is right here. But it must be one of them.
    ("cancelled while its end was written", Some(Duration::from_millis(5500)), None),
    ("cancelled too late", Some(Duration::from_secs(8)), Some(End::Finished)),
];

/// Plays an answer.
pub async fn check<F, A>(tool: F) -> anyhow::Result<String>
where
    F: Fn(Count, Context) -> A + Copy + Send + Sync + 'static,
    A: Future<Output = Outcome> + Send + 'static,
{
    for protocol in [Protocol::V2025, Protocol::V2026] {
        for (call, cancel, expected) in MOMENTS {
            let count = Count::default();
            let given = count.clone();
            let tool = move |_job, ctx| tool(given.clone(), ctx);
            let state = play(&Bench::new(tool, COUNTING, protocol)?, cancel).await?;
            let Books { begun, ends } = count.books().clone();
            println!("   a call {call}: {ends:?}");
            ensure!(
                begun == ends.len(),
                "a call {call} has half an entry in the books\n\
                 `select!` drops the branch that loses, also in the middle of count.write(..)"
            );
            let [end] = ends[..] else {
                anyhow::bail!(
                    "a call {call} has {} ends in the books: {ends:?}\n\
                     decide in one place how the call ends, and write it down after that, once",
                    ends.len()
                );
            };
            ensure!(
                expected.is_none_or(|expected| end == expected),
                "a call {call} is {end:?} in the books\n\
                 a cancel counts as long as the rows are being counted, and not afterwards"
            );
            let same = State::Cancelled == state && end == End::Cancelled
                || State::Finished == state && end == End::Finished;
            ensure!(
                same,
                "a call {call} is {end:?} in the books, but the server's list says {state:?}\n\
                 what the tool returns must come from the same decision as the entry"
            );
        }
    }
    Ok("each call has one end, and books and server agree on it".to_owned())
}

async fn play(bench: &Bench, cancel: Option<Duration>) -> anyhow::Result<State> {
    let client = bench.stage.connect().await?;
    let call = tool_call(TOOL, Value::Null);
    let options = rmcp::service::PeerRequestOptions::no_options();
    let handle = client.send_cancellable_request(call, options).await?;
    let number = client.newest(TOOL).await?;
    if let Some(after) = cancel {
        sleep(after).await;
        crate::cancel(&client, &handle.id).await?;
    }
    // All that could still be written has been written then.
    sleep(COUNTING * 10).await;
    let state = client.ask(number).await?.state;
    client.close().await?;
    Ok(state)
}

//! The check of the exercise: a library that stands still at its third page until the cancel has
//! come. So what it does afterwards can be counted.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use course::exercise::tool::{Bench, Context, Outcome, TOOL};
use course::exercise::{Clock, Exercise};
use course::lesson::Protocol;
use rmcp::service::PeerRequestOptions;
use serde_json::Value;
use shared::calls::State;
use shared::client::{PATIENCE, tool_call};
use tokio::sync::Notify;
use tokio::time::timeout;

/// The exercise of this lesson.
pub const EXERCISE: Exercise = Exercise {
    stub: include_str!("stub.rs"),
    solution: include_str!("solution.rs"),
    file: concat!(env!("CARGO_MANIFEST_DIR"), "/src/exercise.rs"),
    // The paused clock would not go on while a blocking thread waits.
    clock: Clock::Real,
    check: || Box::pin(check(crate::exercise::render)),
};

/// How many pages there are, and after which one the cancel comes.
const PAGES: u32 = 40;
const CANCEL_AFTER: u32 = 3;

/// Somebody else's library: it renders pages, and blocks until they are done. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Library(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    rendered: AtomicU32,
    at_gate: Notify,
    closed: Mutex<bool>,
    opened: Condvar,
}

impl Library {
    /// Renders so many pages. Calls `on_page` after each, and returns early if that says `Break`.
    /// Returns how many pages it has rendered. Blocks.
    pub fn render(&self, pages: u32, mut on_page: impl FnMut(u32) -> ControlFlow<()>) -> u32 {
        for page in 1..=pages {
            self.0.rendered.fetch_add(1, Ordering::SeqCst);
            if page == CANCEL_AFTER {
                self.0.at_gate.notify_one();
                let closed = self.0.closed.lock().unwrap_or_else(PoisonError::into_inner);
                // Bounded: the thread must not outlive its program for long.
                let wait = self.0.opened.wait_timeout_while(closed, 6 * PATIENCE, |closed| *closed);
                drop(wait);
            }
            if on_page(page).is_break() {
                return page;
            }
        }
        pages
    }

    fn gate(&self, closed: bool) {
        *self.0.closed.lock().unwrap_or_else(PoisonError::into_inner) = closed;
        self.0.opened.notify_all();
    }

    fn rendered(&self) -> u32 {
        self.0.rendered.load(Ordering::SeqCst)
    }
}

/// Plays an answer.
pub async fn check<F, A>(tool: F) -> anyhow::Result<String>
where
    F: Fn(u32, Library, Context) -> A + Copy + Send + Sync + 'static,
    A: Future<Output = Outcome> + Send + 'static,
{
    for protocol in [Protocol::V2025, Protocol::V2026] {
        let libraries = [Library::default(), Library::default()];
        let given = libraries.clone();
        let count = AtomicU32::new(0);
        let tool = move |_job, ctx| {
            let call = count.fetch_add(1, Ordering::SeqCst) as usize;
            tool(PAGES, given[call.min(1)].clone(), ctx)
        };
        let [library, next] = libraries;
        let bench = Bench::new(tool, Duration::ZERO, protocol)?;
        let client = bench.stage.connect().await?;
        library.gate(true);
        let call = || tool_call(TOOL, Value::Null);
        let mut handle =
            client.send_cancellable_request(call(), PeerRequestOptions::no_options()).await?;
        let at_work = tokio::select! {
            at_gate = timeout(PATIENCE, library.0.at_gate.notified()) => at_gate.is_ok(),
            _ = &mut handle.rx => false,
        };
        ensure!(
            at_work,
            "your tool does not call the library\nlibrary.render(pages, on_page) does the work"
        );
        let number = client.newest(TOOL).await?;
        handle.cancel(None).await?;
        // When this is answered, the cancel has been read.
        let early = client.ask(number).await?;
        let still = client.ask(number).await?;
        library.gate(false);
        ensure!(
            early.state == State::Running && still.state == State::Running,
            "the library is still at work, and the server's list says that the call is {:?}\n\
             nothing can stop a blocking thread from outside: wait until it has returned",
            still.state
        );
        let record = client.ask_until_ended(number).await?;
        let more = library.rendered() - CANCEL_AFTER;
        println!("   {protocol}: cancelled after page {CANCEL_AFTER}, {more} more rendered");
        ensure!(
            more == 0,
            "the library rendered {more} more pages after its cancel\n\
             on_page is called after each page: look at the token there, each time"
        );
        ensure!(
            record.state == State::Cancelled,
            "the library has stopped, but the call is {:?} in the server's list\n\
             Ok(None) is cancelled",
            record.state
        );
        let number = number + 1;
        let answer = client.call(TOOL, Value::Null).await;
        let record = client.ask(number).await?;
        ensure!(
            answer.is_ok() && record.state == State::Finished && next.rendered() == PAGES,
            "the next call, which nobody cancels, has {} of {PAGES} pages and is {:?}\n\
             each call has a token of its own: ctx.ct",
            next.rendered(),
            record.state
        );
        client.close().await?;
    }
    Ok("the library stops at the next page, and your tool ends when the library has".to_owned())
}

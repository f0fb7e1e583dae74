//! What an exercise is, and how an answer to it is judged.
//!
//! An answer is the code of somebody who learns, so it may block, panic or wait for ever. It is
//! played on a thread and a runtime of its own, and whatever it does becomes a [`Verdict`].

pub mod proof;
pub mod tool;

use std::collections::HashMap;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use futures::future::LocalBoxFuture;
use tokio::runtime::Builder;
use tokio::time::timeout;

/// An exercise: one file to write, checked by the lesson.
#[derive(Clone, Copy)]
pub struct Exercise {
    /// The file to write, as it is before anybody writes in it.
    pub stub: &'static str,
    /// A solution.
    pub solution: &'static str,
    /// Where the file to write is.
    pub file: &'static str,
    /// The clock that the answer is played on.
    pub clock: Clock,
    /// Plays the answer in the file, and says what it shows or what does not hold. After the first
    /// line of a complaint comes advice.
    pub check: fn() -> Check,
}

/// A check under way.
pub type Check = LocalBoxFuture<'static, anyhow::Result<String>>;

/// What time is to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// It stands still while anything runs, and jumps when all wait.
    Paused,
    /// The machine's: for sockets and processes.
    Real,
}

/// What the check makes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the stub.
    NotBegun,
    /// A claim does not hold: which one, and on further lines, advice.
    NotYet(String),
    /// It is right, and shows this.
    Done(String),
}

impl Exercise {
    /// The task in a line: the first line of the file.
    pub fn task(&self) -> &'static str {
        task(self.stub)
    }
}

/// The task in a line, as the first line of a stub has it.
pub(crate) fn task(stub: &str) -> &str {
    stub.lines().next().unwrap_or_default().trim_start_matches("//! ").trim_end_matches('.')
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBegun => write!(f, "✏️  not begun"),
            Self::NotYet(why) => {
                let mut lines = why.lines();
                write!(f, "❌ not yet: {}", lines.next().unwrap_or_default())?;
                lines.try_for_each(|line| write!(f, "\n   💡 {line}"))
            }
            Self::Done(what) => write!(f, "✅ done: {what}"),
        }
    }
}

/// What a stub answers. It takes what the stub has not used yet.
pub fn not_begun<T>(_unused: T) -> anyhow::Error {
    note(|notes| notes.not_begun = true);
    anyhow::anyhow!("not begun")
}

/// How long a thread may be kept busy, in one go, before that counts as blocking. An answer that
/// is right needs a few milliseconds, and less than this on any machine.
pub const BLOCKED: Duration = Duration::from_secs(5);
/// How long a check may take in all.
const LIMIT: Duration = Duration::from_secs(60);

/// Judges an answer. Returns whatever the answer does, and leaves its thread to itself if that is
/// blocked.
pub fn judge(
    clock: Clock,
    blocked: Duration,
    check: impl FnOnce() -> Check + Send + 'static,
) -> Verdict {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("{THREADS}{}", COUNT.fetch_add(1, Ordering::Relaxed));
    note_panics();
    let (verdict, ended) = mpsc::channel();
    // Since when the thread has been at work. A runtime that has nothing to do parks its thread.
    let busy = Arc::new(Mutex::new(Some(Instant::now())));
    let at_work = |busy: &Arc<Mutex<_>>, now: fn() -> Option<Instant>| {
        let busy = Arc::clone(busy);
        move || *unpoisoned(&busy) = now()
    };
    let mut runtime = Builder::new_current_thread();
    runtime.enable_all().start_paused(clock == Clock::Paused).thread_name(&name);
    runtime.on_thread_park(at_work(&busy, || None));
    runtime.on_thread_unpark(at_work(&busy, || Some(Instant::now())));
    let run = move || {
        let Ok(runtime) = runtime.build() else { return };
        let checked = panic::catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async { timeout(LIMIT * 60, check()).await })
        }));
        let _ = verdict.send(checked);
        // A plain drop would wait for blocking threads that the answer has left behind.
        runtime.shutdown_background();
    };
    if let Err(error) = thread::Builder::new().name(name.clone()).spawn(run) {
        return Verdict::NotYet(format!("no thread to play it on: {error}"));
    }
    let begun = Instant::now();
    let played = loop {
        match ended.recv_timeout(Duration::from_millis(20)) {
            Ok(Ok(Ok(checked))) => break checked.map_err(|error| format!("{error:#}")),
            Err(RecvTimeoutError::Timeout) => {
                let since = *unpoisoned(&busy);
                if since.is_some_and(|since| since.elapsed() > blocked) {
                    break Err(format!(
                        "your code blocks its thread: it has not waited for anything for {blocked:?}\n\
                         an async function gives its thread back at each .await that waits"
                    ));
                }
                if begun.elapsed() < LIMIT {
                    continue;
                }
                break Err(STUCK.to_owned());
            }
            _ => break Err(STUCK.to_owned()),
        }
    };
    let Notes { not_begun, panicked } = unpoisoned(&NOTES).remove(&name).unwrap_or_default();
    match (not_begun, panicked, played) {
        (true, ..) => Verdict::NotBegun,
        (_, Some(panicked), _) => Verdict::NotYet(format!("your code panicked\n{panicked}")),
        (.., Err(why)) => Verdict::NotYet(why),
        (.., Ok(what)) => Verdict::Done(what),
    }
}

const STUCK: &str = "the check does not come to its end\ndoes your code wait for something that \
                     never comes?";

/// How the threads are called that answers are played on. By it a panic finds its answer.
const THREADS: &str = "exercise ";

/// What has been noted of an answer while it was played.
#[derive(Default)]
struct Notes {
    not_begun: bool,
    panicked: Option<String>,
}

static NOTES: LazyLock<Mutex<HashMap<String, Notes>>> = LazyLock::new(Mutex::default);

/// Notes something of the answer that this thread plays, if it plays one.
fn note(what: impl FnOnce(&mut Notes)) -> bool {
    let thread = thread::current();
    let name = thread.name().filter(|name| name.starts_with(THREADS));
    name.map(|name| what(unpoisoned(&NOTES).entry(name.to_owned()).or_default())).is_some()
}

/// Whether this thread plays an answer.
pub(crate) fn under_way() -> bool {
    note(|_| ())
}

/// A panic of an answer is a verdict, and not a message on standard error.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let message = panic.to_string().replace('\n', " ");
            if !note(|notes| notes.panicked = Some(message)) {
                before(panic);
            }
        }));
    });
}

fn unpoisoned<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

//! A server is judged from outside: by what its work leaves behind, not by what it says.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::manifest::Witness;
use super::page::Page;
use crate::tree::{self, Tree};
use crate::wire::log::Event;
use crate::wire::{Place, Request, Revision, Wire};

/// The cancel is sent when the work has come this far.
const BEGUN: usize = 2;
/// Steps that may be done after the cancel.
const SLACK: usize = 4;
/// So many steps after the cancel, and the work runs on.
const ON: usize = 12;
/// Work that shows nothing in so many looks has stopped: a step takes a quarter of a second. Looks
/// and no time: if this machine stands still, nobody looks.
const SILENCE: usize = 60;
const LOOK: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(60);

/// What is called, and where its work can be seen.
#[derive(Debug, Clone)]
pub struct Job {
    /// The command for `env`; `{work}` and `{page}` stand for a folder of the run and a slow page,
    /// `{port}` for a free port.
    pub command: Vec<String>,
    pub tool: String,
    pub arguments: Value,
    pub witness: Witness,
    /// A shell command that is run in the folder before.
    pub prepare: Option<String>,
}

/// What was seen of one server and one tool.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `stops`, `late` or `runs on`.
    pub verdict: &'static str,
    /// Steps of the work after the cancel, as far as they were counted.
    pub steps: usize,
    /// What the caller heard of the call after the cancel.
    pub told: String,
    /// Whether another request was answered while the tool ran.
    pub blocked: bool,
    /// The verdict when the input ends instead.
    pub at_the_end: &'static str,
}

/// Runs the job twice: it is cancelled, and its input ends.
pub async fn judge(job: &Job) -> anyhow::Result<Seen> {
    let (cancelled, ended) = tokio::join!(cancelled(job), at_the_end(job));
    Ok(Seen { at_the_end: ended?, ..cancelled? })
}

async fn cancelled(job: &Job) -> anyhow::Result<Seen> {
    let run = Run::start(job).await?;
    // Answered while the tool runs, or only after it?
    let ping = run.wire.request("ping", json!({}));
    let mark = run.wire.log.mark();
    let at_cancel = run.steps().await;
    run.wire.cancel(&run.call, "stop, says the user");
    let (verdict, steps) = run.goes_on(at_cancel).await;
    let answered = |frame: &crate::wire::log::Frame| frame.answer_to(&ping.id).map(|_| ());
    let blocked = verdict == "runs on" && run.wire.log.all(ping.mark, answered).is_empty();
    let mut late = 0;
    let told = run.wire.log.all(mark, |frame| {
        late += usize::from(
            frame.received().is_some_and(|it| it["method"] == "notifications/progress"),
        );
        let answer = frame.answer_to(&run.call.id)?;
        let error = &answer["error"];
        Some(if error.is_object() {
            format!("error {}: {}", error["code"], error["message"].as_str().unwrap_or_default())
        } else {
            "a result".to_owned()
        })
    });
    let told = match (told.into_iter().next(), late) {
        (Some(told), _) => told,
        (None, 0..=2) => "nothing".to_owned(),
        (None, _) => "more progress".to_owned(),
    };
    Ok(Seen { verdict, steps, told, blocked, at_the_end: "" })
}

async fn at_the_end(job: &Job) -> anyhow::Result<&'static str> {
    let run = Run::start(job).await?;
    let at_end = run.steps().await;
    run.wire.end_input().await;
    // A server may take its time to end. What counts is whether its work went on.
    Ok(if run.goes_on(at_end).await.0 == "stops" { "stops" } else { "runs on" })
}

/// A server with a call that is at work.
struct Run {
    wire: std::sync::Arc<Wire>,
    call: Request,
    witness: Witness,
    folder: PathBuf,
    page: Page,
    tree: Option<Tree>,
    /// What witnesses that are looked at, instead of counting by themselves, have seen.
    looks: std::sync::atomic::AtomicUsize,
}

impl Run {
    /// Starts the server, calls the tool and waits until it works.
    async fn start(job: &Job) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("survey-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder)?;
        let page = Page::serve().await?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
        let fill = |text: &str| {
            let text = text.replace("{work}", &folder.to_string_lossy());
            text.replace("{page}", &page.url).replace("{port}", &port)
        };
        if let Some(prepare) = &job.prepare {
            let shell = ["-c", &fill(prepare)].map(str::to_owned);
            let done = tokio::process::Command::new("sh")
                .args(shell)
                .current_dir(&folder)
                .env("STEPS", folder.join("steps"))
                .output();
            let done = done.await?;
            if !done.status.success() {
                bail!("`{prepare}` fails: {}", String::from_utf8_lossy(&done.stderr));
            }
        }
        let steps = format!("STEPS={}", folder.join("steps").display());
        let mut command =
            vec!["env".to_owned(), "-C".to_owned(), folder.display().to_string(), steps];
        command.extend(job.command.iter().map(|word| fill(word)));
        let (wire, _) = Wire::open(&Place::Command(command), Revision::Handshake).await?;
        let tree = wire.pid().and_then(|pid| Tree::of(pid, None));
        let arguments: Value = serde_json::from_str(&fill(&job.arguments.to_string()))?;
        let call = wire.request(
            "tools/call",
            json!({ "name": job.tool, "arguments": arguments, "_meta": { "progressToken": "survey" } }),
        );
        let witness = match &job.witness {
            Witness::Ask(command) => Witness::Ask(fill(command)),
            other => other.clone(),
        };
        let run = Self { wire, call, witness, folder, page, tree, looks: 0.into() };
        let until = Instant::now() + LONG;
        while run.steps().await < BEGUN {
            let ended = |frame: &crate::wire::log::Frame| frame.answer_to(&run.call.id).cloned();
            if let Some(answer) = run.wire.log.all(run.call.mark, ended).pop() {
                bail!("the call ended before it was seen at work: {answer}");
            }
            if run.wire.log.since(0).iter().any(|frame| matches!(frame.event, Event::Ended)) {
                bail!("the server ended");
            }
            if Instant::now() > until {
                bail!("its work is not seen");
            }
            sleep(LOOK).await;
        }
        Ok(run)
    }

    /// How far the work has come.
    async fn steps(&self) -> usize {
        use std::sync::atomic::Ordering::Relaxed;
        let seen = match &self.witness {
            Witness::Steps => {
                let text = std::fs::read_to_string(self.folder.join("steps")).unwrap_or_default();
                return text.lines().count();
            }
            Witness::Page => return self.page.chunks(),
            Witness::Progress => {
                let progress = |frame: &crate::wire::log::Frame| {
                    let message = frame.received()?;
                    (message["method"] == "notifications/progress").then_some(())
                };
                return self.wire.log.all(0, progress).len();
            }
            // Busy in most of the looks.
            Witness::Busy => match &self.tree {
                Some(tree) => tree.watch(10).await.busy > 0.5,
                None => false,
            },
            Witness::Ask(command) => {
                sleep(Duration::from_millis(200)).await;
                let asked = tokio::process::Command::new("sh").args(["-c", command]).output().await;
                asked.is_ok_and(|said| said.stdout.iter().any(|byte| (b'1'..=b'9').contains(byte)))
            }
        };
        self.looks.fetch_add(usize::from(seen), Relaxed) + usize::from(seen)
    }

    /// Watches the work until it has stopped, or has gone on for long.
    async fn goes_on(&self, from: usize) -> (&'static str, usize) {
        let (mut last, mut silent) = (from, 0);
        while silent < SILENCE {
            let now = self.steps().await;
            silent = if now > last { 0 } else { silent + 1 };
            last = now;
            if last >= from + ON {
                return ("runs on", last - from);
            }
            sleep(LOOK).await;
        }
        (if last <= from + SLACK { "stops" } else { "late" }, last - from)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // The server and what it has started, by their numbers: some outlive it.
        if let Some(tree) = &self.tree {
            for process in tree.sample().processes.into_keys() {
                end(process);
            }
        }
        for process in tree::with_environment(&self.folder.to_string_lossy()) {
            end(process);
        }
        let folder = std::mem::take(&mut self.folder);
        // Some folders are large, and others wait for this thread. The runtime waits for the rest.
        tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder));
    }
}

fn end(process: tree::Process) {
    if let (true, Ok(id)) = (tree::lives(process), i32::try_from(process.0)) {
        let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
    }
}

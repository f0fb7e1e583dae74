//! A server is judged from outside: by what its work leaves behind, not by what it says.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep};

use super::manifest::{ToolCall, Witness};
use super::page::Page;
use crate::tree::{self, Process, Tree};
use crate::wire::log::{Event, Frame};
use crate::wire::{Place, Request, Revision, Wire};

/// The cancel is sent when the work has come this far.
const BEGUN: usize = 2;
/// Steps that may be done after the cancel.
const SLACK: usize = 4;
/// So many looks after the cancel that see new steps, and the work runs on. Looks and not steps: if
/// this machine stands still, many steps may be seen at once, before the cancel has left.
const ON: usize = 12;
/// Work that shows nothing in so many looks has stopped: a step takes a quarter of a second. Looks
/// and no time: if this machine stands still, nobody looks.
const SILENCE: usize = 60;
const LOOK: Duration = Duration::from_millis(100);
/// A server that has not ended after so many looks waits for its tools.
const ENDS: usize = 200;
/// A child that still lives after so many looks has outlived its server.
const ORPHAN: usize = 20;
const LONG: Duration = Duration::from_secs(120);

/// What is called, and where its work can be seen.
#[derive(Debug, Clone)]
pub struct Job {
    /// The command for `env`; `{work}` and `{page}` stand for a folder of the run and a slow page,
    /// `{port}` for a free port.
    pub command: Vec<String>,
    pub call: ToolCall,
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
    /// What happened when the input ended instead.
    pub end: End,
    /// Whether many cancelled calls kept it from answering a `ping`, if that was tried.
    pub silenced: Option<bool>,
}

#[derive(Debug, Clone)]
pub struct End {
    /// `stops` or `runs on`.
    pub verdict: &'static str,
    /// The server has ended, and a process that it started has not.
    pub left: bool,
}

/// Runs the job: it is cancelled, its input ends, and it is cancelled many times.
pub async fn judge(job: &Job) -> anyhow::Result<Seen> {
    let (cancelled, ended, silenced) = tokio::join!(cancelled(job), at_the_end(job), silenced(job));
    let (verdict, steps, told, blocked) = cancelled?;
    Ok(Seen { verdict, steps, told, blocked, end: ended?, silenced: silenced? })
}

async fn cancelled(job: &Job) -> anyhow::Result<(&'static str, usize, String, bool)> {
    let run = Run::start(job).await?;
    let mark = run.wire.log.mark();
    let at_cancel = run.steps().await;
    run.wire.cancel(&run.call, "stop, says the user");
    // Answered while the tool runs, or only after it? And if so: the cancel was read before.
    let ping = run.wire.request("ping", json!({}));
    let (verdict, steps) = run.goes_on(at_cancel, Some(&ping)).await;
    let blocked = verdict == "runs on" && run.answer(&ping).is_none();
    let told = match (run.answer(&run.call), run.wire.log.all(mark, progress).len()) {
        (Some(answer), _) => match &answer["error"] {
            Value::Null => "a result".to_owned(),
            error => format!(
                "error {}: {}",
                error["code"],
                error["message"].as_str().unwrap_or_default()
            ),
        },
        (None, 0..=2) => "nothing".to_owned(),
        (None, _) => "more progress".to_owned(),
    };
    Ok((verdict, steps, told, blocked))
}

async fn at_the_end(job: &Job) -> anyhow::Result<End> {
    let run = Run::start(job).await?;
    let mut children = run.tree.as_ref().map(Tree::processes).unwrap_or_default();
    let own = children.keys().find(|process| Some(process.0) == run.wire.pid()).copied();
    children.retain(|process, _| Some(*process) != own);
    let at_end = run.steps().await;
    run.wire.end_input().await;
    // A server may take its time to end. What counts is whether its work went on.
    let verdict = if run.goes_on(at_end, None).await.0 == "stops" { "stops" } else { "runs on" };
    let left = match own {
        Some(own) => outlived(own, children.into_keys().collect()).await,
        None => false,
    };
    Ok(End { verdict, left })
}

/// Whether one of these processes lives on when their server has ended.
async fn outlived(server: Process, mut children: Vec<Process>) -> bool {
    let mut alone = 0;
    for _ in 0..ENDS {
        children.retain(|child| tree::lives(*child));
        if children.is_empty() || alone == ORPHAN {
            break;
        }
        alone += usize::from(!tree::lives(server));
        sleep(LOOK).await;
    }
    alone == ORPHAN && !children.is_empty()
}

/// Many calls are cancelled while they work. Is a `ping` answered before the work ends?
async fn silenced(job: &Job) -> anyhow::Result<Option<bool>> {
    let Some(times) = job.call.times else { return Ok(None) };
    let run = Run::start(job).await?;
    let mut calls = vec![run.call.clone()];
    calls.extend((1..times).map(|_| run.wire.request("tools/call", run.asks.clone())));
    // All that find a place are at work by then.
    run.comes_to(3 * times).await?;
    for call in &calls {
        run.wire.cancel(call, "stop, says the user");
    }
    let ping = run.wire.request("ping", json!({}));
    let (mut last, mut grown, until) = (run.steps().await, 0, Instant::now() + LONG);
    while run.answer(&ping).is_none() {
        let now = run.steps().await;
        grown += usize::from(now > last);
        last = now;
        // Many work at once, so nearly each look sees new steps.
        if grown >= 3 * ON {
            return Ok(Some(true));
        }
        if Instant::now() > until {
            bail!("neither does its work go on, nor does it answer");
        }
        sleep(LOOK).await;
    }
    Ok(Some(false))
}

fn progress(frame: &Frame) -> Option<()> {
    (frame.received()?["method"] == "notifications/progress").then_some(())
}

/// A server with a call that is at work.
struct Run {
    wire: std::sync::Arc<Wire>,
    call: Request,
    /// What was asked of the tool.
    asks: Value,
    witness: Witness,
    home: Home,
    page: Page,
    tree: Option<Tree>,
    /// What witnesses that are looked at, instead of counting by themselves, have seen.
    looks: std::sync::atomic::AtomicUsize,
}

impl Run {
    /// Starts the server, calls the tool and waits until it works.
    async fn start(job: &Job) -> anyhow::Result<Self> {
        let home = Home(TempDir::with_prefix("survey-")?.keep());
        let folder = &home.0;
        let page = Page::serve().await?;
        // Bound, and nobody listens: the system gives the port to no other program, and on Linux a server
        // may listen on it.
        let kept = TcpSocket::new_v4()?;
        kept.set_reuseaddr(true)?;
        kept.bind("127.0.0.1:0".parse()?)?;
        let port = kept.local_addr()?.port().to_string();
        let fill = |text: &str| {
            let text = text.replace("{work}", &folder.to_string_lossy());
            text.replace("{page}", &page.url).replace("{port}", &port)
        };
        if let Some(prepare) = &job.prepare {
            let shell = ["-c", &fill(prepare)].map(str::to_owned);
            let done = tokio::process::Command::new("sh")
                .args(shell)
                .current_dir(folder)
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
        let arguments: Value =
            serde_json::from_str(&fill(&Value::Object(job.call.arguments.clone()).to_string()))?;
        let asks = json!({ "name": job.call.tool, "arguments": arguments,
            "_meta": { "progressToken": "survey" } });
        let call = wire.request("tools/call", asks.clone());
        let witness = match &job.call.witness {
            Witness::Ask(command) => Witness::Ask(fill(command)),
            other => other.clone(),
        };
        let run = Self { wire, call, asks, witness, home, page, tree, looks: 0.into() };
        run.comes_to(BEGUN).await?;
        Ok(run)
    }

    /// Waits until the work has come so far.
    async fn comes_to(&self, steps: usize) -> anyhow::Result<()> {
        let until = Instant::now() + LONG;
        while self.steps().await < steps {
            if let Some(answer) = self.answer(&self.call) {
                bail!("the call ended before it was seen at work: {answer}");
            }
            if self.wire.log.since(0).iter().any(|frame| matches!(frame.event, Event::Ended)) {
                bail!("the server ended");
            }
            if Instant::now() > until {
                bail!("its work is not seen");
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    fn answer(&self, request: &Request) -> Option<Value> {
        let answer = |frame: &Frame| frame.answer_to(&request.id).cloned();
        self.wire.log.all(request.mark, answer).pop()
    }

    /// How far the work has come.
    async fn steps(&self) -> usize {
        use std::sync::atomic::Ordering::Relaxed;
        let seen = match &self.witness {
            Witness::Steps => {
                let text = std::fs::read_to_string(self.home.0.join("steps")).unwrap_or_default();
                return text.lines().count();
            }
            Witness::Page => return self.page.chunks(),
            Witness::Progress => return self.wire.log.all(0, progress).len(),
            // Busy in most of the looks.
            Witness::Busy => match &self.tree {
                Some(tree) => tree.busy(10).await > 0.5,
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

    /// Watches the work until it has stopped, or has gone on for long. On a busy machine a server
    /// may read a cancel late: steps are counted from the answer to what was sent behind it.
    async fn goes_on(&self, from: usize, behind: Option<&Request>) -> (&'static str, usize) {
        let (mut last, mut silent, mut grown, mut read) = (from, 0, 0, None);
        while silent < SILENCE {
            let now = self.steps().await;
            (silent, grown) = if now > last { (0, grown + 1) } else { (silent + 1, grown) };
            last = now;
            if read.is_none() && behind.is_some_and(|request| self.answer(request).is_some()) {
                (read, grown) = (Some(now), 0);
            }
            if grown >= ON {
                return ("runs on", last - from);
            }
            sleep(LOOK).await;
        }
        (if last <= read.unwrap_or(from) + SLACK { "stops" } else { "late" }, last - from)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // The server and what it has started, by their numbers: some outlive it.
        if let Some(tree) = &self.tree {
            for process in tree.processes().into_keys() {
                end(process);
            }
        }
    }
}

/// The folder in which a server runs. It goes with all processes that have it in their environment.
struct Home(PathBuf);

impl Drop for Home {
    fn drop(&mut self) {
        for process in tree::with_environment(&self.0.to_string_lossy()) {
            end(process);
        }
        let folder = std::mem::take(&mut self.0);
        // Some folders are large, and others wait for this thread. The runtime waits for the rest.
        tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder));
    }
}

fn end(process: Process) {
    if let (true, Ok(id)) = (tree::lives(process), i32::try_from(process.0)) {
        let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
    }
}

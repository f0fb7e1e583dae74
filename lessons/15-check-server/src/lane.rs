//! One transport in one revision: its calls, and what can be known of their work.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, sleep};

use crate::finding::{Finding, Verdict};
use crate::target::{Source, Tool};
use crate::tree::Tree;
use crate::wire::log::{self, Frame};
use crate::wire::{Place, Request, Wire};
use crate::work::{Outcome, key};

/// How long a sign of life may take.
const SIGN: Duration = Duration::from_secs(5);
/// A tool that gives no sign is taken to be at work after this time. The first call has longer:
/// it tells whether the tool reports progress at all.
const AT_WORK: Duration = Duration::from_millis(700);
const FIRST_SIGN: Duration = Duration::from_millis(2500);
/// How often the processes are looked at for one reading.
pub const READING: u32 = 20;
/// What was under way when the fence was answered has come by now.
pub const SETTLE: Duration = Duration::from_millis(100);

/// What the user chose.
#[derive(Debug, Clone)]
pub struct Options {
    pub only: Vec<u32>,
    pub places: usize,
    pub pid: Option<u32>,
    pub until: Instant,
}

/// What a lane is to check, and how.
#[derive(Debug, Clone)]
pub struct Setup {
    pub place: Place,
    pub tool: Tool,
    pub source: Source,
    pub options: Options,
    /// The end of input is the same in each revision: it is checked in one.
    pub endings: bool,
    /// One call starts at a time, in all lanes: so it is known whose entry in the status tool's
    /// list is new. Request ids do not tell, since a bridge changes them.
    pub turns: Arc<Mutex<()>>,
}

/// When the server answers requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    All,
    /// None while its tool is at work.
    NoneAtWork,
    /// None: it has ended when its tool was called.
    Ended,
    /// None any more on this connection: nothing can be asked.
    NoneAnyMore,
}

#[derive(Debug)]
pub struct Lane {
    pub name: String,
    pub wire: Arc<Wire>,
    /// What the server said of itself.
    pub hello: Value,
    pub setup: Setup,
    pub tree: Option<Tree>,
    pub findings: Vec<Finding>,
    /// The tool is known to report no progress.
    pub silent: bool,
    /// The time between two progress notifications, once it is known.
    pub interval: Option<Duration>,
    /// Set if a plain cancel does not stop the work. Finer questions are then pointless.
    pub deaf: bool,
    /// Set if a plain cancel was seen to stop the work. Silence then says something.
    pub shows_stops: bool,
    pub answers: Answers,
    pub mark: usize,
}

/// A running call of the slow tool.
#[derive(Debug)]
pub struct Call {
    pub request: Request,
    pub token: Value,
    /// The name under which the probe knows it.
    pub label: String,
    /// Its entry in the status tool's list.
    pub key: Option<String>,
    /// What is needed to find that entry, until it is found.
    pub start: Option<Start>,
    pub has_progress: bool,
}

/// What the status tool listed before a call was sent. Nobody else starts a call meanwhile.
#[derive(Debug)]
pub struct Start {
    pub before: HashSet<String>,
    _turn: OwnedMutexGuard<()>,
}

/// The tool is not one that can be cancelled.
#[derive(Debug)]
pub struct Unfit(pub String);

impl std::error::Error for Unfit {}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; name another tool or other arguments with --tool and --args", self.0)
    }
}

impl Lane {
    /// A lane over a connection that is open.
    pub fn over(wire: Arc<Wire>, hello: Value, setup: Setup) -> anyhow::Result<Self> {
        let transport = if wire.is_http() { "http" } else { "stdio" };
        let port = match &setup.place {
            Place::Url(url) => reqwest::Url::parse(url)?.port_or_known_default(),
            Place::Command(_) => None,
        };
        let name = match hello["protocolVersion"].as_str() {
            Some(older) => format!("{transport} {}", plain(older)),
            None => format!("{transport} {}", wire.revision.name()),
        };
        let pid = wire.pid().or(setup.options.pid);
        Ok(Self {
            name,
            tree: pid.and_then(|pid| Tree::of(pid, port)),
            wire,
            hello,
            setup,
            findings: Vec::new(),
            silent: false,
            interval: None,
            deaf: false,
            shows_stops: false,
            answers: Answers::All,
            mark: 0,
        })
    }

    /// The same, on a connection of its own.
    pub fn fork(&self) -> impl Future<Output = anyhow::Result<Self>> + Send + use<> {
        let (setup, revision) = (self.setup.clone(), self.wire.revision);
        let (interval, silent, deaf) = (self.interval, self.silent, self.deaf);
        async move {
            let (wire, hello) = Wire::open(&setup.place, revision).await?;
            Ok(Self { silent, interval, deaf, ..Self::over(wire, hello, setup)? })
        }
    }

    pub fn wants(&self, number: u32) -> bool {
        self.setup.options.only.is_empty() || self.setup.options.only.contains(&number)
    }

    pub fn is_judged(&self, number: u32) -> bool {
        self.findings.iter().any(|finding| finding.number == number)
    }

    /// Notes a verdict. The first one on a behaviour counts.
    pub fn judge(&mut self, number: u32, verdict: Verdict, seen: impl Into<String>) {
        if !self.wants(number) || self.is_judged(number) {
            return;
        }
        self.findings.push(Finding {
            number,
            lane: self.name.clone(),
            verdict,
            seen: seen.into(),
            false_stop: false,
            exchange: self.wire.log.since(self.mark),
        });
    }

    /// Notes what came of a call that was cancelled.
    pub fn judge_stop(&mut self, number: u32, outcome: &Outcome) {
        match outcome {
            Outcome::Stopped(how) => self.judge(number, Verdict::Pass, how),
            Outcome::Unknown(why) => self.judge(number, Verdict::NotObservable, why),
            Outcome::RunsOn(how) | Outcome::Denied(how) => {
                self.judge(number, Verdict::Fail, how);
            }
        }
    }

    /// Calls the slow tool, and returns when it is at work.
    pub async fn start(&self) -> anyhow::Result<Call> {
        let call = self.send_call(self.wire.next_id()).await;
        self.at_work(call).await
    }

    /// Sends the call and does not wait. Its entry in the status tool's list can be found.
    pub async fn send_call(&self, id: Value) -> Call {
        Call { start: self.turn().await, ..self.send_one_of_many(id) }
    }

    /// Waits until no other lane is starting a call, if there is a status tool to ask.
    pub async fn turn(&self) -> Option<Start> {
        let Source::Status(_) = &self.setup.source else { return None };
        let turn = self.setup.turns.clone().lock_owned().await;
        let before = self.entries().await.unwrap_or_default().iter().map(key).collect();
        Some(Start { before, _turn: turn })
    }

    /// Gives the turn back when the status tool lists so many calls more. On HTTP calls arrive
    /// when they like: another lane must not take them for its own.
    pub async fn when_listed(&self, turn: Option<Start>, calls: usize) {
        let Some(start) = turn else { return };
        let until = Instant::now() + SIGN;
        loop {
            let entries = self.entries().await.unwrap_or_default();
            let new = entries.iter().filter(|entry| !start.before.contains(&key(entry))).count();
            if new >= calls || Instant::now() > until {
                return;
            }
            sleep(SETTLE).await;
        }
    }

    /// Sends the call, whose entry nobody will look for.
    pub fn send_one_of_many(&self, id: Value) -> Call {
        let label = uuid::Uuid::new_v4().to_string();
        let token = json!(format!("token {label}"));
        let mut arguments = self.setup.tool.arguments.clone();
        if self.setup.source == Source::Probe {
            arguments["id"] = json!(label);
        }
        let params = json!({ "name": self.setup.tool.name, "arguments": arguments,
            "_meta": { "progressToken": token } });
        let request = self.wire.request_as(id, "tools/call", params);
        Call { request, token, label, key: None, start: None, has_progress: false }
    }

    /// Waits for a sign that the call is at work: progress, or a tool's word.
    pub async fn at_work(&self, mut call: Call) -> anyhow::Result<Call> {
        // A tool that is known to report nothing is asked for instead.
        let until = Instant::now() + AT_WORK;
        while self.silent && self.setup.source != Source::None && Instant::now() < until {
            if self.work_of_new(&mut call).await.is_some_and(|work| work.running) {
                return Ok(call);
            }
        }
        let (log, mark) = (&self.wire.log, call.request.mark);
        let name = plain(&self.setup.tool.name);
        let sign = |patience| {
            log.first(mark, patience, |frame| {
                if is_progress(frame, &call.token) {
                    return Some(Ok(()));
                }
                let answer = frame.answer_to(&call.request.id)?;
                let failed = log::error(answer).is_some() || answer["result"]["isError"] == true;
                let text = answer["error"]["message"].as_str();
                let text = text.or(answer["result"]["content"][0]["text"].as_str());
                let text = plain(text.unwrap_or("no reason given"));
                Some(Err(if failed {
                    Unfit(format!("the tool `{name}` failed: {text}"))
                } else {
                    Unfit(format!("the tool `{name}` ended before it could be cancelled"))
                }))
            })
        };
        let first = sign(if self.silent { AT_WORK } else { FIRST_SIGN }).await;
        if first.is_none() && self.interval.is_some() {
            // Its sisters reported progress. One that does not has not been started.
            match sign(SIGN).await {
                Some(Ok(())) => {}
                Some(Err(why)) => return Err(why.into()),
                None => bail!("the call gave no sign of life for {SIGN:?}"),
            }
            call.has_progress = true;
        } else {
            call.has_progress = first.transpose()?.is_some();
        }
        self.find(&mut call).await;
        call.start = None;
        Ok(call)
    }

    /// Whether a call that runs would be told of. Without that, "never started" is a guess.
    pub async fn would_tell(&self) -> anyhow::Result<bool> {
        let call = self.start().await?;
        let told = self.work(&call).await.is_some();
        self.tidy(&call);
        Ok(told)
    }

    /// Every answer to this request since the mark.
    pub fn answers(&self, request: &Request, mark: usize) -> Vec<Value> {
        self.wire.log.all(mark, |frame| frame.answer_to(&request.id).cloned())
    }

    /// Cancels a call that has served its purpose.
    pub fn tidy(&self, call: &Call) {
        self.wire.cancel(&call.request, "the check is over");
    }

    pub fn capability(&self, name: &str) -> &Value {
        &self.hello["capabilities"][name]
    }

    /// A new connection where the old one cannot be used any more.
    pub async fn reopen(&mut self) -> anyhow::Result<()> {
        // Work that no cancel stops would be in the next scene's way, too.
        let busy = self.deaf || matches!(self.answers, Answers::NoneAtWork | Answers::Ended);
        let usable = !self.wire.is_http() && !busy && self.wire.fence().await.is_ok();
        if !usable {
            self.wire.kill().await;
            let opened = Wire::open(&self.setup.place, self.wire.revision).await;
            self.wire = opened.context("the server cannot be reached again")?.0;
            if let Some(pid) = self.wire.pid() {
                self.tree = Tree::of(pid, None);
            }
        }
        self.answers = Answers::All;
        self.mark = self.wire.log.mark();
        Ok(())
    }
}

pub fn is_progress(frame: &Frame, token: &Value) -> bool {
    frame.received().is_some_and(|message| {
        message["method"] == "notifications/progress"
            && message["params"]["progressToken"] == *token
    })
}

/// A server's text, short and on one line.
pub fn plain(text: &str) -> String {
    const LONGEST: usize = 160;
    text.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

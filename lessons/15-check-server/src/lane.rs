//! One transport in one revision: its calls, and what can be known of their work.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::finding::{Finding, Verdict};
use crate::target::{Source, Tool};
use crate::tree::{self, Tree, Window};
use crate::wire::log::{Event, Frame};
use crate::wire::{Place, Request, Wire};

/// How long work may take to stop before it is said to run on.
pub const STOP: Duration = Duration::from_secs(5);
/// How long a sign of life may take.
const SIGN: Duration = Duration::from_secs(5);
/// A tool that gives no sign is taken to be at work after this time.
const AT_WORK: Duration = Duration::from_millis(700);
/// How long the processes are watched for one reading.
pub const READING: Duration = Duration::from_millis(400);
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
    /// Set if the server answers nobody while its tool runs.
    pub blocked: bool,
    /// The entries of the status tool that belong to calls of ours.
    known: Mutex<HashSet<String>>,
    pub mark: usize,
}

/// A running call of the slow tool.
#[derive(Debug, Clone)]
pub struct Call {
    pub request: Request,
    pub token: Value,
    /// The name under which the probe knows it.
    label: String,
    /// Its entry in the status tool's list.
    key: Option<String>,
    pub has_progress: bool,
}

/// What a tool says of the work.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Work {
    pub running: bool,
    pub done: u64,
    pub state: String,
    pub reason: Option<String>,
}

/// What came of the work of a call.
#[derive(Debug, Clone)]
pub enum Outcome {
    Stopped(String),
    RunsOn(String),
    Unknown(String),
}

/// The tool is not one that can be cancelled.
#[derive(Debug)]
pub struct Unfit(String);

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
            blocked: false,
            known: Mutex::default(),
            mark: 0,
        })
    }

    /// The same, on a connection of its own.
    pub fn fork(&self) -> impl Future<Output = anyhow::Result<Self>> + Send + use<> {
        let (setup, revision) = (self.setup.clone(), self.wire.revision);
        let (interval, silent, deaf) = (self.interval, self.silent, self.deaf);
        let known = self.known().clone();
        async move {
            let (wire, hello) = Wire::open(&setup.place, revision).await?;
            let fork = Self::over(wire, hello, setup)?;
            *fork.known() = known;
            Ok(Self { silent, interval, deaf, ..fork })
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
            Outcome::RunsOn(how) => self.judge(number, Verdict::Fail, how),
        }
    }

    /// Calls the slow tool, and returns when it is at work.
    pub async fn start(&self) -> anyhow::Result<Call> {
        let call = self.send_call(self.wire.next_id());
        self.at_work(call).await
    }

    /// Sends the call and does not wait.
    pub fn send_call(&self, id: Value) -> Call {
        let label = uuid::Uuid::new_v4().to_string();
        let token = json!(format!("token {label}"));
        let mut arguments = self.setup.tool.arguments.clone();
        if self.setup.source == Source::Probe {
            arguments["id"] = json!(label);
        }
        let params = json!({ "name": self.setup.tool.name, "arguments": arguments,
            "_meta": { "progressToken": token } });
        let request = self.wire.request_as(id, "tools/call", params);
        Call { request, token, label, key: None, has_progress: false }
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
        let (log, mark, name) = (&self.wire.log, call.request.mark, &self.setup.tool.name);
        let sign = |patience| {
            log.first(mark, patience, |frame| {
                if is_progress(frame, &call.token) {
                    return Some(Ok(()));
                }
                let answer = frame.answer_to(&call.request.id)?;
                let failed = answer.get("error").is_some() || answer["result"]["isError"] == true;
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
        let first = sign(AT_WORK).await;
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
        Ok(call)
    }

    /// Finds the call's entry in the status tool's list.
    async fn find(&self, call: &mut Call) {
        let Source::Status(_) = &self.setup.source else { return };
        let entries = self.entries().await.unwrap_or_default();
        let ours = entries.iter().rev().filter(|entry| {
            entry["tool"] == *self.setup.tool.name && !self.known().contains(&key(entry))
        });
        let ours: Vec<_> = ours.collect();
        // A bridge may have changed the id on the way: then the newest is ours.
        let same = ours.iter().find(|entry| entry["request_id"] == call.request.id);
        if let Some(entry) = same.or(ours.first()) {
            call.key = Some(key(entry));
            self.known().insert(key(entry));
        }
    }

    async fn entries(&self) -> Option<Vec<Value>> {
        let Source::Status(name) = &self.setup.source else { return None };
        let params = json!({ "name": name, "arguments": {} });
        let result = self.wire.ask("tools/call", params).await.ok()?;
        structured(&result, "calls")?["calls"].as_array().cloned()
    }

    /// What a tool says of this call's work.
    pub async fn work(&self, call: &Call) -> Option<Work> {
        match &self.setup.source {
            Source::None => None,
            Source::Status(_) => {
                let entries = self.entries().await?;
                let entry = entries.iter().rfind(|entry| Some(key(entry)) == call.key)?;
                let state = entry["state"].as_str()?.to_owned();
                Some(Work {
                    running: state == "running",
                    done: entry["steps_done"].as_u64().unwrap_or(0),
                    state,
                    reason: entry["reason"].as_str().map(str::to_owned),
                })
            }
            Source::Probe => {
                let arguments = json!({ "id": call.label, "ask": true });
                let params = json!({ "name": self.setup.tool.name, "arguments": arguments });
                let result = self.wire.ask("tools/call", params).await.ok()?;
                let said = structured(&result, "running")?;
                let running = said["running"].as_bool()?;
                let state = match (running, said["cancelled"] == true) {
                    (true, _) => "running",
                    (false, true) => "cancelled",
                    (false, false) => "finished",
                };
                Some(Work {
                    running,
                    done: said["ticks"].as_u64().unwrap_or(0),
                    state: state.to_owned(),
                    reason: said["reason"].as_str().map(str::to_owned),
                })
            }
        }
    }

    /// Looks for a call that was started without waiting.
    pub async fn work_of_new(&self, call: &mut Call) -> Option<Work> {
        if call.key.is_none() {
            self.find(call).await;
        }
        self.work(call).await
    }

    /// How long one must look to see whether a call still reports progress.
    pub fn look(&self) -> Duration {
        let interval = self.interval.unwrap_or(Duration::ZERO);
        (interval * 3 / 2).clamp(Duration::from_millis(300), Duration::from_millis(1600))
    }

    /// Whether the call is still at work, although something was sent that must not stop it.
    /// Ok(None): nothing tells.
    pub async fn goes_on(&self, call: &Call) -> Result<Option<String>, String> {
        if let Err(error) = self.wire.fence().await {
            return Err(format!("the server answers nobody any more: {error:#}"));
        }
        sleep(SETTLE).await;
        let mark = self.wire.log.mark();
        let first = self.work(call).await;
        let until = Instant::now() + STOP;
        loop {
            if let Some(ended) = self.ended(call) {
                return ended.map(Some);
            }
            let log = &self.wire.log;
            let step = |frame: &Frame| is_progress(frame, &call.token).then_some(());
            if call.has_progress && !log.all(mark, step).is_empty() {
                return Ok(Some("it reported more progress".to_owned()));
            }
            if let Some(first) = &first {
                let Some(now) = self.work(call).await else { return Ok(None) };
                if !now.running && now.state != "finished" {
                    return Err(format!("its work was {}", plain(&now.state)));
                }
                if now.done > first.done {
                    return Ok(Some(format!("it went on to step {}", now.done)));
                }
            } else if !call.has_progress {
                return Ok(None);
            }
            if Instant::now() > until {
                return Err(format!("its work stood still for {STOP:?}"));
            }
            if call.has_progress {
                log.first(mark, Duration::from_millis(300), step).await;
            } else {
                sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// An error if the call is over although nothing was cancelled.
    pub fn still_runs(&self, call: &Call) -> Result<(), Unfit> {
        if self.ended(call).is_none() {
            return Ok(());
        }
        let name = &self.setup.tool.name;
        Err(Unfit(format!("the tool `{name}` ended before it could be cancelled")))
    }

    /// How the call ended on the wire, if it did. A result is its natural end.
    fn ended(&self, call: &Call) -> Option<Result<String, String>> {
        let log = &self.wire.log;
        let ended = log.all(call.request.mark, |frame| {
            if let Some(answer) = frame.answer_to(&call.request.id) {
                let failed = answer.get("error").is_some() || answer["result"]["isError"] == true;
                return Some(if failed {
                    Err(format!("it was ended with {}", plain(&answer.to_string())))
                } else {
                    Ok("it ran to its end".to_owned())
                });
            }
            let own = frame.exchange == call.request.exchange;
            match &frame.event {
                Event::Ended if own => Some(Err("its stream was ended".to_owned())),
                Event::Lost(why) if own => Some(Err(format!("its stream broke: {why}"))),
                _ => None,
            }
        });
        ended.into_iter().next()
    }

    /// What came of the work of a call that was cancelled. `busy` are the readings of the
    /// processes before the call and during it.
    pub async fn outcome(
        &self,
        call: &Call,
        busy: Option<(&Window, &Window)>,
        patience: Duration,
    ) -> Outcome {
        let told = self.told(call, patience).await;
        let watched = match (&self.tree, busy) {
            (Some(tree), Some((before, during))) => processes(tree, before, during, patience).await,
            _ => Outcome::Unknown(
                match self.tree {
                    None if self.wire.is_http() => {
                        "nothing tells about the work: give --pid, a status tool or the probe"
                    }
                    None => "this system does not show processes: add a status tool or the probe",
                    Some(_) => "nothing tells about the work: add a status tool or the probe",
                }
                .to_owned(),
            ),
        };
        match (watched, told) {
            // What the processes do counts for more than what a tool says of them.
            (on @ Outcome::RunsOn(_), _) | (_, Some(on @ Outcome::RunsOn(_))) => on,
            (Outcome::Stopped(seen), Some(Outcome::Stopped(said))) => {
                Outcome::Stopped(format!("{said}; {seen}"))
            }
            (Outcome::Unknown(_), Some(told)) => told,
            (watched, _) => watched,
        }
    }

    /// The word of the status tool or the probe.
    async fn told(&self, call: &Call, patience: Duration) -> Option<Outcome> {
        let until = Instant::now() + patience;
        let from = match &self.setup.source {
            Source::None => return None,
            Source::Status(name) => plain(name),
            Source::Probe => "the probe".to_owned(),
        };
        loop {
            let now = self.work(call).await?;
            if !now.running {
                // The word is one thing, the steps another.
                sleep(self.look()).await;
                let later = self.work(call).await?;
                if later.done > now.done {
                    let (state, a, b) = (plain(&now.state), now.done, later.done);
                    return Some(Outcome::RunsOn(format!(
                        "{from} says {state}, but its work went on from step {a} to {b}"
                    )));
                }
                let (state, steps) = (plain(&now.state), now.done);
                return Some(if state == "cancelled" || state == "failed" {
                    Outcome::Stopped(format!("{from} says {state} after {steps} steps"))
                } else {
                    Outcome::RunsOn(format!(
                        "{from} says {state} after {steps} steps: it ran to its end"
                    ))
                });
            }
            if Instant::now() > until {
                return Some(Outcome::RunsOn(format!(
                    "{from} says {}, {} steps done, {patience:?} after the cancel",
                    plain(&now.state),
                    now.done
                )));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// A cancel whose effect only matters if a plain one works.
    pub async fn outcome_on_the_wire(&self, call: &Call) -> Outcome {
        if self.deaf {
            return Outcome::Unknown("no cancel stops this server's work, see 1".to_owned());
        }
        if self.setup.source != Source::None {
            return self.outcome(call, None, STOP).await;
        }
        if !call.has_progress {
            return Outcome::Unknown("nothing tells about the work, not even progress".to_owned());
        }
        sleep(SETTLE).await;
        let mark = self.wire.log.mark();
        sleep(self.look()).await;
        let late = self.wire.log.all(mark, |frame| is_progress(frame, &call.token).then_some(()));
        if late.is_empty() {
            Outcome::Stopped("its progress stopped".to_owned())
        } else {
            Outcome::RunsOn(format!("it reported progress {} times more", late.len()))
        }
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

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection where the old one cannot be used any more.
    pub async fn reopen(&mut self) -> anyhow::Result<()> {
        let usable = !self.wire.is_http() && !self.blocked && self.wire.fence().await.is_ok();
        if !usable {
            self.wire.kill().await;
            let opened = Wire::open(&self.setup.place, self.wire.revision).await;
            self.wire = opened.context("the server cannot be reached again")?.0;
            if let Some(pid) = self.wire.pid() {
                self.tree = Tree::of(pid, None);
            }
            self.blocked = false;
        }
        self.mark = self.wire.log.mark();
        Ok(())
    }
}

/// What the processes do after a cancel, compared with before the call and during it.
async fn processes(tree: &Tree, before: &Window, during: &Window, patience: Duration) -> Outcome {
    const NOTICEABLE: f64 = 0.4;
    let until = Instant::now() + patience;
    let percent = |share: f64| format!("{:.0}%", share * 100.0);
    let (idle, work) = (percent(before.busy), percent(during.busy));
    let worked = during.busy - before.busy;
    let children = new_children(before, during);
    if worked < NOTICEABLE && children.is_empty() {
        return Outcome::Unknown(format!(
            "its processes do not show the work (at work in {idle} of the looks before the call, \
             {work} during it): add a status tool or the probe"
        ));
    }
    let mut calm = 0;
    loop {
        let now = tree.watch(READING).await;
        let busy = worked >= NOTICEABLE && now.busy - before.busy > worked / 2.0;
        let left = children.iter().filter(|(process, _)| tree::lives(*process)).count();
        let late = Instant::now() > until;
        if left > 0 && late {
            let names: Vec<_> = children.iter().map(|(_, name)| plain(name)).collect();
            return Outcome::RunsOn(format!(
                "{left} of {} child processes of the call still live {patience:?} after the cancel: {}",
                children.len(),
                names.join(", ")
            ));
        }
        if busy && late {
            let share = percent(now.busy);
            return Outcome::RunsOn(format!(
                "its processes still compute: {share} of the looks found them at work \
                 {patience:?} after the cancel ({work} during the call, {idle} before it)"
            ));
        }
        calm = if busy || left > 0 { 0 } else { calm + 1 };
        // Twice: work may pause for a moment.
        if calm == 2 {
            let gone = match children.len() {
                0 => String::new(),
                n => format!("{n} child processes gone, "),
            };
            return Outcome::Stopped(format!(
                "{gone}its processes were at work in {idle} of the looks before the call, \
                 {work} during it, {} after the cancel",
                percent(now.busy)
            ));
        }
    }
}

/// The processes that the call has started.
pub fn new_children(before: &Window, during: &Window) -> Vec<(tree::Process, String)> {
    let old = &before.last.processes;
    let new = during.last.processes.iter().filter(|(process, _)| !old.contains_key(process));
    new.map(|(process, name)| (*process, name.clone())).collect()
}

pub fn is_progress(frame: &Frame, token: &Value) -> bool {
    frame.received().is_some_and(|message| {
        message["method"] == "notifications/progress"
            && message["params"]["progressToken"] == *token
    })
}

/// The result of a tool as JSON that has this field. SDKs differ in where they put it.
fn structured(result: &Value, field: &str) -> Option<Value> {
    let structured = &result["structuredContent"];
    let text =
        result["content"][0]["text"].as_str().and_then(|text| serde_json::from_str(text).ok());
    let all = [Some(structured.clone()), Some(structured["result"].clone()), text];
    all.into_iter().flatten().find(|value: &Value| !value[field].is_null())
}

/// What tells an entry of the status tool from all others.
fn key(entry: &Value) -> String {
    let number = &entry["call"];
    let key = if number.is_null() { &entry["started_at"] } else { number };
    format!("{key} {} {}", entry["session"], entry["request_id"])
}

/// A server's text, short and on one line.
pub fn plain(text: &str) -> String {
    const LONGEST: usize = 160;
    text.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

//! What is known of a call's work, from the processes, the status tool or the probe.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::lane::{Answers, Call, Lane, READING, SETTLE, Unfit, is_progress, plain};
use crate::target::Source;
use crate::tree::{self, Tree, Window};
use crate::wire::ANSWER;
use crate::wire::log::{self, Event, Frame};

/// How long work may take to stop before it is said to run on.
pub const STOP: Duration = Duration::from_secs(5);

/// The states that a status tool may name.
const STATES: [&str; 4] = ["running", "cancelled", "failed", "finished"];
const UNKNOWN_STATE: &str = "known are running, cancelled, failed and finished";

/// What a tool says of the work.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Work {
    pub running: bool,
    pub done: u64,
    pub state: String,
    pub reason: Option<String>,
}

impl Work {
    /// The state, if it is none that is known.
    pub fn unknown_state(&self) -> Option<String> {
        let known = STATES.contains(&&self.state[..]);
        (!known).then(|| format!("it says `{}`: {UNKNOWN_STATE}", plain(&self.state)))
    }
}

/// What came of the work of a call.
#[derive(Debug, Clone)]
pub enum Outcome {
    Stopped(String),
    RunsOn(String),
    /// It runs on, and the server's own tool says that it has stopped.
    Denied(String),
    Unknown(String),
}

impl Outcome {
    /// What was seen of work that no cancel has stopped.
    pub fn runs_on(&self) -> Option<&str> {
        match self {
            Self::RunsOn(how) | Self::Denied(how) => Some(how),
            Self::Stopped(_) | Self::Unknown(_) => None,
        }
    }
}

impl Lane {
    /// Finds the call's entry in the status tool's list: it was not there before the call.
    pub async fn find(&self, call: &mut Call) {
        let Some(start) = &call.start else { return };
        let entries = self.entries().await.unwrap_or_default();
        let new = entries.iter().rev().filter(|entry| {
            entry["tool"] == *self.setup.tool.name && !start.before.contains(&key(entry))
        });
        let new: Vec<_> = new.collect();
        // Strangers call the tool too. A bridge may have changed the id: then the newest is ours.
        let same = new.iter().find(|entry| entry["request_id"] == call.request.id);
        if let Some(entry) = same.or(new.first()) {
            call.key = Some(key(entry));
            call.start = None;
        }
    }

    pub async fn entries(&self) -> Option<Vec<Value>> {
        let Source::Status(name) = &self.setup.source else { return None };
        let params = json!({ "name": name, "arguments": {} });
        let result = self.wire.ask("tools/call", params, ANSWER).await.ok()?;
        structured(&result, "calls")?["calls"].as_array().cloned()
    }

    /// What a tool says of this call's work.
    pub async fn work(&self, call: &Call) -> Option<Work> {
        match &self.setup.source {
            _ if self.answers == Answers::NoneAnyMore => None,
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
                let result = self.wire.ask("tools/call", params, ANSWER).await.ok()?;
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
        let name = plain(&self.setup.tool.name);
        Err(Unfit(format!("the tool `{name}` ended before it could be cancelled")))
    }

    /// How the call ended on the wire, if it did. A result is its natural end.
    fn ended(&self, call: &Call) -> Option<Result<String, String>> {
        let log = &self.wire.log;
        let ended = log.all(call.request.mark, |frame| {
            if let Some(answer) = frame.answer_to(&call.request.id) {
                let failed = log::error(answer).is_some() || answer["result"]["isError"] == true;
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
            _ if call.key.is_none() && matches!(self.setup.source, Source::Status(_)) => {
                let why = "the process that was asked does not list the call; another one ran it";
                Outcome::Unknown(why.to_owned())
            }
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
            (Outcome::RunsOn(seen), Some(Outcome::Stopped(said))) => {
                Outcome::Denied(format!("{said}, but {seen}"))
            }
            (_, Some(on @ (Outcome::Denied(_) | Outcome::RunsOn(_))))
            | (on @ Outcome::RunsOn(_), _) => on,
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
                    return Some(Outcome::Denied(format!(
                        "{from} says {state}, but its work went on from step {a} to {b}"
                    )));
                }
                let (state, steps) = (plain(&now.state), now.done);
                return Some(match &state[..] {
                    "cancelled" | "failed" => {
                        Outcome::Stopped(format!("{from} says {state} after {steps} steps"))
                    }
                    "finished" => Outcome::RunsOn(format!(
                        "{from} says {state} after {steps} steps: it ran to its end"
                    )),
                    _ => Outcome::Unknown(format!("{from} says `{state}`: {UNKNOWN_STATE}")),
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
        if late.is_empty() && self.shows_stops {
            Outcome::Stopped(
                "its progress stopped, as it does when the work stops, see 1".to_owned(),
            )
        } else if late.is_empty() {
            // The work may go on in silence.
            Outcome::Unknown(
                "its progress stopped, and nothing tells about the work: add a status tool or the \
                 probe"
                    .to_owned(),
            )
        } else {
            Outcome::RunsOn(format!("it reported progress {} times more", late.len()))
        }
    }
}

/// What the processes do after a cancel, compared with before the call and during it.
async fn processes(tree: &Tree, before: &Window, during: &Window, patience: Duration) -> Outcome {
    const NOTICEABLE: f64 = 0.4;
    /// On a busy machine also what only wakes now and then is noticed: it waits for its processor. It
    /// hardly runs, and not nearly all looks find it.
    const HARDLY: f64 = 0.03;
    const NEARLY_ALL: f64 = 0.8;
    let until = Instant::now() + patience;
    let percent = |share: f64| format!("{:.0}%", share * 100.0);
    let (idle, work) = (percent(before.busy), percent(during.busy));
    let mut worked = during.busy - before.busy;
    if during.ran < HARDLY && worked < NEARLY_ALL {
        worked = 0.0;
    }
    let children = new_children(before, during);
    if worked < NOTICEABLE && children.is_empty() {
        return Outcome::Unknown(format!(
            "its processes do not show the work (at work in {idle} of the looks before the call, \
             {work} during it): add a status tool or the probe"
        ));
    }
    let mut calm = 0;
    loop {
        let now = tree.busy(READING).await;
        let busy = worked >= NOTICEABLE && now - before.busy > worked / 2.0;
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
            let share = percent(now);
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
                percent(now)
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

/// The result of a tool as JSON that has this field. SDKs differ in where they put it.
pub fn structured(result: &Value, field: &str) -> Option<Value> {
    let structured = &result["structuredContent"];
    let text =
        result["content"][0]["text"].as_str().and_then(|text| serde_json::from_str(text).ok());
    let all = [Some(structured.clone()), Some(structured["result"].clone()), text];
    all.into_iter().flatten().find(|value: &Value| !value[field].is_null())
}

/// What tells an entry of the status tool from all others.
pub fn key(entry: &Value) -> String {
    let number = &entry["call"];
    let key = if number.is_null() { &entry["started_at"] } else { number };
    format!("{key} {} {}", entry["session"], entry["request_id"])
}

//! One server, one revision: every number that `bench` gives.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::client::{Call, Line, Name, PATIENCE, Session, Target, read_all};
use super::witness::{Sent, Witness};
use crate::target::{Source, Tool};
use crate::wire::Revision;

/// How many calls of a storm share a session.
const PER_SESSION: usize = 125;
/// How many connections carry the cancels of a storm.
const CANCELLERS: usize = 16;
/// How long a storm may take, from its first call to its last end.
const STORM: Duration = Duration::from_secs(90);

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    pub samples: usize,
    pub cycles: usize,
    pub storms: Vec<usize>,
}

/// The numbers of one server in one revision. Times are in milliseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Run {
    pub server: String,
    pub version: String,
    pub revision: String,
    pub calls: Count,
    /// The server notes when a tool ends. If not, the ends of tools are when they were seen.
    pub stamped: bool,
    pub latency: Latency,
    pub floor: Latency,
    pub cycles: Vec<Cycles>,
    pub storms: Vec<Storm>,
}

/// How many calls were started, and how many are over: the server was asked.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Count {
    pub started: usize,
    pub over: usize,
}

/// From the first byte of a cancel, one at a time.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Until the POST of the cancel is answered (2025-11-25).
    pub answered: Option<Spread>,
    /// Until the call's stream ends (2025-11-25; none if the server leaves it open).
    pub stream: Option<Spread>,
    /// Until the tool has ended.
    pub tool: Option<Spread>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Spread {
    pub count: usize,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
}

impl Spread {
    fn of(mut all: Vec<f64>) -> Option<Self> {
        all.sort_by(f64::total_cmp);
        let last = all.len().checked_sub(1)?;
        // The smallest value that this share of all does not exceed.
        let at = |percent: usize| all[(all.len() * percent).div_ceil(100).clamp(1, last + 1) - 1];
        Some(Self { count: all.len(), p50: at(50), p90: at(90), p99: at(99) })
    }
}

/// Calls that are started and cancelled one after the other, by so many clients.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Cycles {
    pub at_once: usize,
    pub calls: usize,
    pub per_second: f64,
}

/// Calls that run together and are cancelled together.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Storm {
    /// How many ran.
    pub calls: usize,
    /// Why there were no more.
    pub refused: Option<String>,
    /// Until the last stream ended (2025-11-25).
    pub last_stream: Option<f64>,
    /// Until the last tool ended.
    pub last_tool: Option<f64>,
    /// Memory of the server's process per running call.
    pub bytes_per_call: Option<f64>,
    /// What an unrelated request took with all calls at work, the median.
    pub request_before: f64,
    /// What the slowest took during the storm.
    pub request_during: f64,
}

impl Storm {
    /// Until the last call was over, as the tools or, failing that, the streams tell.
    pub fn last(&self) -> Option<f64> {
        match (self.last_stream, self.last_tool) {
            (Some(stream), Some(tool)) => Some(stream.max(tool)),
            (stream, tool) => stream.or(tool),
        }
    }
}

/// A server in one revision, and what is called there.
#[derive(Debug, Clone)]
pub struct Lane {
    pub target: Arc<Target>,
    pub revision: Revision,
    pub tool: Tool,
    pub source: Source,
    pub pid: Option<u32>,
}

/// Measures all of it. `news` gets a word on what comes next.
pub async fn measure(
    lane: &Lane,
    floor: &Lane,
    plan: &Plan,
    news: &dyn Fn(&str),
) -> anyhow::Result<Run> {
    let mut run = Run { revision: lane.revision.name().to_owned(), ..Run::default() };
    news("one cancel at a time");
    let mut clients = Vec::new();
    for (lane, count) in [(lane, &mut run.calls), (floor, &mut Count::default())] {
        let mut client = Client::new(lane, Habits { reports: true, ends: true }).await?;
        client.learn(count).await?;
        clients.push(client);
    }
    let habits = clients[0].habits;
    run.stamped = clients[0].witness.stamped;
    (run.latency, run.floor) = latency(clients, plan.samples, &mut run.calls).await?;
    for at_once in [1, 32] {
        news(&format!("start and cancel, {at_once} at once"));
        run.cycles.push(cycles(lane, habits, at_once, plan.cycles, &mut run.calls).await?);
    }
    let memory = lane.pid.and_then(resident);
    for calls in &plan.storms {
        news(&format!("a storm of {calls}"));
        let storm = timeout(STORM, storm(lane, habits, *calls, memory, &mut run.calls)).await;
        let storm = storm.with_context(|| format!("a storm of {calls} took over {STORM:?}"))??;
        let refused = storm.refused.is_some();
        run.storms.push(storm);
        if refused {
            break;
        }
    }
    Ok(run)
}

/// A client that starts calls and cancels them, one after the other.
#[derive(Debug)]
struct Client {
    session: Session,
    control: Line,
    witness: Witness,
    tool: Tool,
    habits: Habits,
}

/// What a server does, as its first call has shown.
#[derive(Debug, Clone, Copy)]
struct Habits {
    /// The tool reports progress: that is how a call is known to be at work.
    reports: bool,
    /// The server ends the stream of a cancelled call (2025-11-25).
    ends: bool,
}

/// What one cancel took.
#[derive(Debug, Default)]
struct Sample {
    answered: Option<f64>,
    stream: Option<f64>,
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

impl Client {
    async fn new(lane: &Lane, habits: Habits) -> anyhow::Result<Self> {
        let session = Session::open(&lane.target, lane.revision).await?;
        let control = Line::open(&lane.target).await?;
        let own = Session::open(&lane.target, lane.revision).await?;
        let witness = Witness::new(own, lane.source.clone()).await?;
        Ok(Self { session, control, witness, tool: lane.tool.clone(), habits })
    }

    /// Learns from a call what this server does.
    async fn learn(&mut self, count: &mut Count) -> anyhow::Result<()> {
        const LONG: Duration = Duration::from_secs(2);
        let mut call = self.session.start(&self.tool).await?;
        if let Ok(begun) = timeout(LONG, call.progress()).await {
            begun?;
        } else if self.witness.knows() {
            self.habits.reports = false;
            self.witness.at_work(&call.name).await?;
        } else {
            bail!(
                "nothing tells when `{}` is at work: it reports no progress, and there is neither \
                 a status tool nor the probe (docs/src/check-server.md)",
                self.tool.name
            );
        }
        let name = call.name.clone();
        let sent = Sent::now();
        if self.session.revision == Revision::Handshake {
            let answer = self.control.post(self.session.cancel(&name)?);
            let answered = timeout(PATIENCE, read_all(answer)).await;
            answered.context("a cancel was not answered in time")?;
            self.habits.ends = timeout(LONG, call.end()).await.is_ok();
        }
        drop(call);
        self.witness.all_over(&[name], sent, count).await.map(drop)
    }

    async fn start(&mut self) -> anyhow::Result<Call> {
        let mut call = self.session.start(&self.tool).await?;
        if self.habits.reports {
            let begun = timeout(PATIENCE, call.progress()).await;
            begun.context("a call did not begin in time")??;
        } else {
            self.witness.at_work(&call.name).await?;
        }
        Ok(call)
    }

    async fn cancel(&mut self, mut call: Call) -> anyhow::Result<(Sent, Sample)> {
        let mut sample = Sample::default();
        if self.session.revision == Revision::Stateless {
            let sent = Sent::now();
            drop(call);
            return Ok((sent, sample));
        }
        let cancel = self.session.cancel(&call.name)?;
        self.control.ready(&self.session.target).await?;
        let sent = Sent::now();
        let answer = self.control.post(cancel);
        let answered = async {
            read_all(answer).await;
            ms(sent.at)
        };
        let ended = async {
            if self.habits.ends {
                call.end().await;
            }
            ms(sent.at)
        };
        let both = timeout(PATIENCE, async { tokio::join!(answered, ended) }).await;
        let (answered, ended) = both.context("a cancel was not answered in time")?;
        sample.answered = Some(answered);
        sample.stream = self.habits.ends.then_some(ended);
        Ok((sent, sample))
    }

    async fn close(self) {
        self.witness.close().await;
        self.session.close().await;
    }
}

/// The server and the floor in turn, so that both have the same machine.
async fn latency(
    mut clients: Vec<Client>,
    samples: usize,
    calls: &mut Count,
) -> anyhow::Result<(Latency, Latency)> {
    let mut all = [(); 2].map(|()| (Vec::new(), Vec::new(), Vec::new()));
    let mut counts = [Count::default(); 2];
    for _ in 0..samples {
        let both = clients.iter_mut().zip(&mut counts).zip(&mut all);
        for ((client, count), (answered, stream, tool)) in both {
            let call = client.start().await?;
            let name = call.name.clone();
            let (sent, sample) = client.cancel(call).await?;
            tool.extend(client.witness.all_over(&[name], sent, count).await?);
            answered.extend(sample.answered);
            stream.extend(sample.stream);
        }
    }
    *calls += counts[0];
    for client in clients {
        client.close().await;
    }
    let [ours, bare] = all.map(|(answered, stream, tool)| Latency {
        answered: Spread::of(answered),
        stream: Spread::of(stream),
        tool: Spread::of(tool),
    });
    Ok((ours, bare))
}

async fn cycles(
    lane: &Lane,
    habits: Habits,
    at_once: usize,
    calls: usize,
    count: &mut Count,
) -> anyhow::Result<Cycles> {
    let each = calls.div_ceil(at_once);
    let clients: Vec<_> =
        stream::iter(0..at_once).then(|_| Client::new(lane, habits)).try_collect().await?;
    let begun = Sent::now();
    let workers = clients.into_iter().map(|mut client| {
        tokio::spawn(async move {
            let mut names = Vec::new();
            for _ in 0..each {
                let call = client.start().await?;
                names.push(call.name.clone());
                client.cancel(call).await?;
            }
            anyhow::Ok((client, names))
        })
    });
    let workers: Vec<_> = workers.collect();
    let mut done = Vec::new();
    for worker in workers {
        done.push(worker.await??);
    }
    let took = begun.at.elapsed().as_secs_f64();
    let calls = each * at_once;
    for (mut client, names) in done {
        client.witness.all_over(&names, begun, count).await?;
        client.close().await;
    }
    Ok(Cycles { at_once, calls, per_second: calls as f64 / took })
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, more: Self) {
        self.started += more.started;
        self.over += more.over;
    }
}

/// A call of a storm: it runs until it is cancelled, on a connection of its own.
#[derive(Debug)]
struct Running {
    name: Name,
    session: Arc<Session>,
    /// Reads until the server ends the stream.
    stream: AbortOnDropHandle<()>,
}

async fn storm(
    lane: &Lane,
    habits: Habits,
    calls: usize,
    memory: Option<u64>,
    count: &mut Count,
) -> anyhow::Result<Storm> {
    let mut model = Client::new(lane, habits).await?;
    let mut sessions = Vec::new();
    for _ in 0..calls.div_ceil(PER_SESSION) {
        sessions.push(Arc::new(Session::open(&lane.target, lane.revision).await?));
    }
    let reports = habits.reports;
    let starts = (0..calls).map(|number| {
        let (session, tool) = (sessions[number / PER_SESSION].clone(), lane.tool.clone());
        async move {
            let mut call = session.start(&tool).await?;
            if reports {
                timeout(PATIENCE, call.progress()).await.context("a call did not begin")??;
            }
            let name = call.name.clone();
            let stream = AbortOnDropHandle::new(tokio::spawn(async move { call.end().await }));
            anyhow::Ok(Running { name, session, stream })
        }
    });
    let mut running = Vec::new();
    let mut refused = None;
    let mut starts = stream::iter(starts).buffer_unordered(32);
    while let Some(started) = starts.next().await {
        match started {
            Ok(call) => running.push(call),
            // What runs is cancelled all the same.
            Err(why) => refused = Some(format!("{why:#}")),
        }
    }
    let names: Vec<_> = running.iter().map(|call| call.name.clone()).collect();
    if !reports && let Some(last) = names.last() {
        model.witness.at_work(last).await?;
    }
    let bytes_per_call = match (memory, lane.pid.and_then(resident)) {
        (Some(before), Some(now)) if !running.is_empty() => {
            Some(now.saturating_sub(before) as f64 / running.len() as f64)
        }
        _ => None,
    };
    let mut before = Vec::new();
    for _ in 0..20 {
        let at = Instant::now();
        model.witness.unrelated().await?;
        before.push(ms(at));
    }
    // Requests that have nothing to do with the storm, one after the other.
    let own = Session::open(&lane.target, lane.revision).await?;
    let mut bystander = Witness::new(own, lane.source.clone()).await?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let asking = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut slowest = 0f64;
        while !stopped.is_cancelled() {
            let at = Instant::now();
            bystander.unrelated().await?;
            slowest = slowest.max(ms(at));
        }
        bystander.close().await;
        anyhow::Ok(slowest)
    }));
    let (sent, last_stream) = cancel_all(lane, running, habits.ends).await?;
    let last_tool = model.witness.all_over(&names, sent, count).await?;
    stop.cancel();
    let request_during = asking.await??;
    for session in &sessions {
        session.close().await;
    }
    model.close().await;
    let request_before = Spread::of(before).unwrap_or_default().p50;
    let calls = names.len();
    Ok(Storm {
        calls,
        refused,
        last_stream,
        last_tool,
        bytes_per_call,
        request_before,
        request_during,
    })
}

/// Cancels them all at once. Returns when that began, and how long the last stream stayed open.
async fn cancel_all(
    lane: &Lane,
    running: Vec<Running>,
    ends: bool,
) -> anyhow::Result<(Sent, Option<f64>)> {
    if lane.revision == Revision::Stateless {
        let sent = Sent::now();
        // Dropped, each closes its connection.
        drop(running);
        return Ok((sent, None));
    }
    let mut shares: Vec<Vec<_>> = Vec::new();
    shares.resize_with(CANCELLERS, Vec::new);
    for (number, call) in running.iter().enumerate() {
        let request = call.session.cancel(&call.name)?;
        shares[number % CANCELLERS].push(request);
    }
    let mut lines = Vec::new();
    for share in shares {
        lines.push((Line::open(&lane.target).await?, share));
    }
    let sent = Sent::now();
    let cancelling = lines.into_iter().map(|(mut line, share)| {
        let target = lane.target.clone();
        tokio::spawn(async move {
            for request in share {
                line.ready(&target).await?;
                read_all(line.post(request)).await;
            }
            anyhow::Ok(())
        })
    });
    let cancelling: Vec<_> = cancelling.collect();
    for share in cancelling {
        share.await??;
    }
    if !ends {
        // Dropped, each closes its connection.
        drop(running);
        return Ok((sent, None));
    }
    for call in running {
        let _ = timeout(PATIENCE, call.stream).await.context("a stream stayed open")?;
    }
    Ok((sent, Some(ms(sent.at))))
}

/// The memory of a process, in bytes, where the system shows it.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

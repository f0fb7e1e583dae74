//! How fast a server is at being told to stop.

mod bare;
mod client;
mod measure;
mod picture;
mod start;
mod table;
mod witness;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, value_parser};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::timeout;

use crate::status_line;
use crate::target::{self, PROBE, Source, Tool, Wishes};
use crate::wire::{Place, Revision, Wire};
use client::Target;
use measure::{Lane, Plan, Run, measure};
use start::Peer;

/// What `bench` is told.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The server's URL, with its path [default: the lessons' server, started for this]
    #[arg(value_parser = target::plain_http)]
    url: Option<String>,
    #[command(flatten)]
    wishes: Wishes,
    /// The server's process, if it runs on this machine: for its memory
    #[arg(long)]
    pid: Option<u32>,
    /// One revision only
    #[arg(long)]
    protocol: Option<crate::Protocol>,
    /// How many cancels are timed one at a time
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    samples: u16,
    /// How many calls are started and cancelled in a row
    #[arg(long, value_name = "N", default_value_t = 640, value_parser = clap::value_parser!(u16).range(1..=50_000))]
    cycles: u16,
    /// How many calls run together and are cancelled together, several sizes; 0 for none
    /// [default: 500,2000,8000; with a URL or --peers: 500]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(0..=10_000))]
    storm: Option<Vec<u16>>,
    /// Measure so many times and give the medians [default: 1; with --peers: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: Option<u8>,
    /// Compare our server with those of other SDKs, each with the same probe
    #[arg(long, conflicts_with_all = ["url", "tool", "status", "pid"])]
    peers: bool,
    /// Show what an earlier run has written with --json, and measure nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "peers", "protocol"])]
    from: Option<PathBuf>,
    /// Print the numbers as JSON
    #[arg(long)]
    json: bool,
    /// Draw them into this file (SVG)
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Seconds after which it gives up
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u64).range(1..=86_400), default_value_t = 1800)]
    limit: u64,
    /// Serve as the floor
    #[arg(long, hide = true)]
    bare: bool,
}

/// All that was measured. Its JSON is documented in docs/src/bench.md.
#[derive(Debug, Serialize, Deserialize)]
pub struct Bench {
    date: String,
    machine: String,
    rounds: usize,
    runs: Vec<Run>,
    /// Servers that could not be measured, and why.
    missing: Vec<String>,
}

pub async fn bench(args: BenchArgs) -> anyhow::Result<ExitCode> {
    if args.bare {
        bare::serve().await?;
        return Ok(ExitCode::SUCCESS);
    }
    let bench = if let Some(file) = &args.from {
        let text = std::fs::read(file);
        let text = text.with_context(|| format!("{} cannot be read", file.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is not what --json writes", file.display()))?
    } else {
        let limit = Duration::from_secs(args.limit);
        let measured = timeout(limit, run(&args)).await;
        measured.with_context(|| format!("it took longer than {limit:?}, see --limit"))??
    };
    if args.json {
        crate::print(&(serde_json::to_string_pretty(&bench)? + "\n"), false)?;
    } else {
        crate::print(&table::table(&bench), false)?;
    }
    if let Some(file) = &args.svg {
        let written = std::fs::write(file, picture::draw(&bench));
        written.with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures what is asked for, round by round, each server in turn.
async fn run(args: &BenchArgs) -> anyhow::Result<Bench> {
    let rounds = usize::from(args.rounds.unwrap_or(if args.peers { 3 } else { 1 }));
    let own = args.url.is_none() && !args.peers;
    let storms = args.storm.clone().unwrap_or(if own { vec![500, 2000, 8000] } else { vec![500] });
    let mut storms: Vec<_> = storms.into_iter().map(usize::from).filter(|&n| n > 0).collect();
    storms.sort_unstable();
    let plan = Plan { samples: args.samples.into(), cycles: args.cycles.into(), storms };
    let revisions = crate::revisions(args.protocol);
    let mut missing = Vec::new();
    let peers = match (args.peers, &args.url) {
        (true, _) => Peer::all()?,
        (false, None) => vec![Peer::lesson()?, Peer::floor()?],
        (false, Some(_)) => Vec::new(),
    };
    let (peers, absent): (Vec<_>, Vec<_>) =
        peers.into_iter().partition(|peer| peer.missing().is_none());
    missing.extend(
        absent.iter().filter_map(|peer| Some(format!("{}: {}", peer.name, peer.missing()?))),
    );
    let nobody = peers.iter().all(|peer| peer.name == start::FLOOR);
    ensure!(args.url.is_some() || !nobody, "{}", missing.join("\n"));
    let mut runs = Vec::new();
    for round in 1..=rounds {
        for &revision in &revisions {
            let bare = Peer::floor()?.start().await?;
            let floor = Lane {
                target: Target::find(&bare.url).await?,
                revision,
                tool: probe(),
                source: Source::Probe,
                pid: None,
            };
            let news = |name: &str| {
                let name = name.to_owned();
                move |what: &str| {
                    let revision = revision.name();
                    status_line::show(&format!(
                        "⏱  round {round} of {rounds}, {name}, {revision}: {what}"
                    ));
                }
            };
            if let Some(url) = &args.url {
                let Some(lane) = lane(url, args, revision, args.pid).await? else {
                    missing.push(format!("{url} does not speak {}", revision.name()));
                    continue;
                };
                let run = measure(&lane, &floor, &plan, &news(url)).await?;
                runs.push(Run { server: url.clone(), ..run });
            }
            for peer in &peers {
                if revision == Revision::Stateless && !peer.is_stateless() {
                    continue;
                }
                // A new process each time: memory that an earlier run has left would count as free.
                let server = peer.start().await?;
                let measured = async {
                    let lane = lane(&server.url, args, revision, server.pid).await?;
                    let lane = lane.with_context(|| format!("it refused {}", revision.name()))?;
                    measure(&lane, &floor, &plan, &news(peer.name)).await
                };
                match measured.await {
                    Ok(run) => runs.push(Run {
                        server: peer.name.to_owned(),
                        version: server.version,
                        ..run
                    }),
                    Err(why) => {
                        missing.push(format!("{}, {}: {why:#}", peer.name, revision.name()));
                    }
                }
            }
        }
    }
    status_line::clear();
    ensure!(!runs.is_empty(), "{}", missing.join("\n"));
    missing.dedup();
    let date = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    Ok(Bench { date, machine: machine(), rounds, runs: table::medians(&runs), missing })
}

/// The probe, at work for two minutes unless it is cancelled.
fn probe() -> Tool {
    let arguments = json!({ "steps": 120, "step_ms": 1000 });
    Tool { name: PROBE.to_owned(), arguments, why: "the probe" }
}

/// The server at this URL, and the tool to call there. None if it does not speak the revision.
async fn lane(
    url: &str,
    args: &BenchArgs,
    revision: Revision,
    pid: Option<u32>,
) -> anyhow::Result<Option<Lane>> {
    let target = Target::find(url).await?;
    let place = Place::Url(url.to_owned());
    let Ok((wire, _)) = Wire::open(&place, revision).await else { return Ok(None) };
    let picked = target::pick(&wire, &args.wishes).await;
    wire.kill().await;
    let (mut tool, source) = picked?;
    if args.wishes.tool.is_none() {
        // Long enough for the largest storm; each is cancelled.
        match &*tool.name {
            PROBE => tool = probe(),
            "process_large_file" => tool.arguments["processing_time"] = json!(600),
            _ => {}
        }
    }
    Ok(Some(Lane { target, revision, tool, source, pid }))
}

/// What the numbers were measured on, in so far as it matters to a reader.
fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or(std::env::consts::ARCH, |(_, name)| name).to_owned();
    let build = if cfg!(debug_assertions) { ", a debug build" } else { "" };
    format!("{processors} x {model}, {}{build}", std::env::consts::OS)
}

//! Lesson 15, and a tool: does an MCP server really stop when it is told to?
//!
//! `cargo run -p check-server -- http://localhost:8000/mcp`, or a command: `-- -- COMMAND ARGS...`

mod bench;
mod catalogue;
mod check;
mod client;
mod finding;
mod lane;
mod practice;
mod report;
mod scenes;
mod status_line;
mod survey;
mod target;
mod tree;
mod wire;
mod work;

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use check::Report;
use finding::{Finding, Verdict};
use lane::Options;
use target::{Source, Wishes};
use wire::{Place, Revision};

/// Does an MCP server really stop when it is told to?
///
/// Exit status: 0 if nothing failed, 1 if something did, 2 if it could not be checked.
#[derive(Debug, Parser)]
#[command(name = "mcp-cancel-check", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Sub>,
    #[command(flatten)]
    check: CheckArgs,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Measure how fast a server is at being told to stop.
    Bench(Box<bench::BenchArgs>),
    /// Play the server, and judge a client.
    Client(client::ClientArgs),
    /// Serve a practice server, healthy or wrong in one way.
    Practice(practice::PracticeArgs),
    /// Try the clients and servers that people use: who really stops?
    Survey(survey::SurveyArgs),
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The server's URL, with its path
    #[arg(value_parser = target::plain_http)]
    url: Option<String>,
    #[command(flatten)]
    wishes: Wishes,
    /// The process of an HTTP server on this machine, to watch what it does
    #[arg(long)]
    pid: Option<u32>,
    /// One revision only
    #[arg(long)]
    protocol: Option<Protocol>,
    /// Only these behaviours, by number
    #[arg(long, value_name = "N", value_delimiter = ',')]
    only: Vec<u32>,
    /// How many calls are cancelled together for behaviour 18; 0 for none
    #[arg(long, value_name = "N", default_value_t = 8)]
    places: usize,
    /// Seconds after which the rest is left unchecked
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u64).range(1..=86_400), default_value_t = 28)]
    limit: u64,
    #[command(flatten)]
    output: Output,
    /// A server to start, on stdio: its command and arguments, after `--`
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "url")]
    server: Vec<String>,
}

/// How the report is given.
#[derive(Debug, Args)]
struct Output {
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Write the report as XML that CI systems read into this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Show every message behind the verdicts on this behaviour
    #[arg(long, value_name = "N")]
    show: Vec<u32>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Protocol {
    #[value(name = "2025-11-25")]
    V2025,
    #[value(name = "2026-07-28")]
    V2026,
}

/// The last word where the question that matters most has no answer.
const UNSEEN: &str = "whether the work stops was not seen: add a status tool or the probe, see \
    docs/src/check-server.md\n";

fn main() -> ExitCode {
    // A thread may still wait for input that never ends: leave it.
    const LONGEST: Duration = Duration::from_millis(500);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            note(&format!("mcp-cancel-check: {error}"));
            return ExitCode::from(2);
        }
    };
    let code = runtime.block_on(run());
    runtime.shutdown_timeout(LONGEST);
    code
}

async fn run() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.command {
        Some(Sub::Bench(args)) => bench::bench(*args).await,
        Some(Sub::Client(args)) => client::watch(args).await,
        Some(Sub::Practice(args)) => practice::serve(args).await.map(|()| ExitCode::SUCCESS),
        Some(Sub::Survey(args)) => survey::survey(args).await,
        None => check_server(cli.check).await,
    };
    ended.unwrap_or_else(|error| {
        note(&format!("mcp-cancel-check: {error:#}"));
        ExitCode::from(2)
    })
}

async fn check_server(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let place = match (args.url, args.server.is_empty()) {
        (Some(url), _) => Place::Url(url),
        (None, false) => Place::Command(args.server),
        (None, true) => bail!("name a server: a URL, or `--` and a command; see --help"),
    };
    for number in args.only.iter().chain(&args.output.show) {
        if !catalogue::ALL.iter().any(|known| known.number == *number) {
            bail!(
                "there is no behaviour {number} that can be checked; docs/src/check-server.md lists them"
            );
        }
    }
    if let Some(pid) = args.pid
        && tree::Tree::of(pid, None).is_none()
    {
        bail!("no process {pid} can be seen on this machine");
    }
    let revisions = revisions(args.protocol);
    let until = Instant::now() + Duration::from_secs(args.limit);
    let only = args.only.clone();
    let options = Options { only: args.only, places: args.places, pid: args.pid, until };
    let report = check::check(&place, &revisions, &args.wishes, &options).await?;
    let code = give(&args.output, &subject(&report), &report.findings, false)?;
    let unseen =
        |one: &Finding| matches!(one.number, 1 | 33 | 35) && one.verdict == Verdict::NotObservable;
    if !args.output.json && report.findings.iter().any(unseen) {
        print(UNSEEN, false)?;
    }
    for number in only {
        if !report.findings.iter().any(|finding| finding.number == number) {
            let about = catalogue::about(number);
            note(&format!("{number} is not checked here: it is about {about}"));
        }
    }
    Ok(code)
}

/// The revisions to look at: one, or both.
fn revisions(only: Option<Protocol>) -> Vec<Revision> {
    match only {
        None => vec![Revision::Handshake, Revision::Stateless],
        Some(Protocol::V2025) => vec![Revision::Handshake],
        Some(Protocol::V2026) => vec![Revision::Stateless],
    }
}

fn subject(report: &Report) -> Value {
    let source = match &report.source {
        Source::None => Value::Null,
        Source::Status(name) => json!(name),
        Source::Probe => json!(target::PROBE),
    };
    json!({ "lanes": report.lanes, "tool": report.tool.name,
        "arguments": report.tool.arguments, "status_tool": source })
}

/// Prints to stdout, or to stderr. Not with `print!`, which panics if the reader has gone:
/// `mcp-cancel-check .. | head` is no mistake.
fn print(text: &str, aside: bool) -> anyhow::Result<()> {
    let printed = if aside {
        std::io::stderr().write_all(text.as_bytes())
    } else {
        std::io::stdout().write_all(text.as_bytes())
    };
    match printed {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot print"),
        _ => Ok(()),
    }
}

/// A line for people, aside. Nobody who reads it is no reason to stop.
fn note(line: &str) {
    let _ = print(&format!("{line}\n"), true);
}

/// Serves here, for `client` and `practice`.
async fn listen(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(addr).await;
    bound.with_context(|| format!("cannot serve at {addr} (port 0 takes a free one)"))
}

/// Prints the report, aside if the output belongs to others, and tells how it came out.
fn give(
    output: &Output,
    subject: &Value,
    findings: &[Finding],
    aside: bool,
) -> anyhow::Result<ExitCode> {
    let text = if output.json {
        format!("{}\n", report::as_json(subject, findings))
    } else {
        report::table(findings)
    };
    print(&text, aside)?;
    for number in &output.show {
        print(&report::exchange(findings, *number), output.json || aside)?;
    }
    if let Some(file) = &output.junit {
        let written = std::fs::write(file, report::junit(findings));
        written.with_context(|| format!("{} cannot be written", file.display()))?;
    }
    let any = |verdicts: &[Verdict]| findings.iter().any(|one| verdicts.contains(&one.verdict));
    Ok(if any(&[Verdict::Fail]) {
        ExitCode::from(1)
    } else if any(&[Verdict::Pass, Verdict::Warn, Verdict::Remark]) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    })
}

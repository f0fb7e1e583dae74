//! The bridge as a tool.
//!
//! `mcp-bridge URL`: stdio in front of an HTTP server.
//! `mcp-bridge --addr ADDR -- COMMAND ARGS...`: HTTP in front of a stdio server.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use course::lesson::Protocol;
use course::signals::Signals;
use hosting::cancel::CancelAware;
use hosting::layer::Server;
use hosting::{Door, Site};
use rmcp::model::ProtocolVersion;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::stdio_pipes;
use shared::stop::Stop;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::sleep;

use crate::behind::child;
use crate::family::Family;
use crate::relay::{End, relay};
use crate::translate::Translate;
use crate::upstream::{Upstream, http};

/// When a bridge that was told to stop is ended all the same. All its own waits together are
/// shorter: for the last answers and cancels, and for a child that is deaf to the end of its input
/// and to SIGTERM (rmcp gives it 3 s for each, and then kills it).
const OVERDUE: Duration = Duration::from_secs(20);

/// Passes MCP on between a host and a server, cancels included.
#[derive(Debug, Parser)]
#[command(
    name = "mcp-bridge",
    version,
    override_usage = "mcp-bridge [--relay] URL\n       mcp-bridge [--addr ADDR] -- COMMAND ARGS...",
    after_help = "Without a URL or a command: the lesson (mcp-bridge --lesson bridge --help)."
)]
struct Cli {
    /// The MCP endpoint of an HTTP server; the host is on standard input and output
    url: Option<String>,
    /// Pass messages on as they are (URL only): all that MCP has, if both sides speak the same
    /// revision
    #[arg(long)]
    relay: bool,
    /// The revision to speak with the server [default: the newest that it speaks]
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,
    /// Where to serve HTTP in front of the command; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8100", value_parser = address)]
    addr: SocketAddr,
    /// A stdio server to start; the hosts are on HTTP, at /mcp
    #[arg(last = true)]
    command: Vec<OsString>,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write it as in 127.0.0.1:8100".to_owned())
}

/// Whether this command line is the tool's: it has a `--`, or a URL (the lesson's own URL follows
/// `--url`), or it asks for help.
pub fn is_meant(arguments: &[String]) -> bool {
    let url =
        |at: usize| arguments[at].contains("://") && (at == 0 || arguments[at - 1] != "--url");
    arguments.iter().any(|argument| argument == "--")
        || (0..arguments.len()).any(|at| url(at) && !arguments[at].starts_with('-'))
        || matches!(arguments, [only] if only == "--help" || only == "-h" || only == "--version")
}

/// The whole of the tool.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let side = match (&cli.url, cli.command.split_first()) {
        (Some(url), None) if url.starts_with("http://") => Side::Url(url.clone()),
        (Some(url), None) => {
            refuse(&format!("{url:?}: plain HTTP only, as in http://localhost:8000/mcp"))
        }
        (None, Some((program, arguments))) => {
            let mut command = Command::new(program);
            command.args(arguments);
            Side::Command(command)
        }
        (None, None) => refuse("name a URL, or a command after --"),
        (Some(_), Some(_)) => refuse("a URL or a command, not both"),
    };
    if cli.relay && cli.url.is_none() {
        refuse("--relay needs a URL: a relay has one connection for one host");
    }
    if cli.relay && cli.protocol.is_some() {
        refuse("--relay speaks what the host speaks: leave out --protocol");
    }
    let version = cli.protocol.map(Protocol::version);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("mcp-bridge: cannot start the async runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        let (signals, stop) = (Signals::new()?, Stop::default());
        let bridging = async {
            match side {
                Side::Url(url) if cli.relay => relay_to(&url, &stop).await,
                Side::Url(url) => stdio_to_http(&url, version, &stop).await,
                Side::Command(command) => http_to_stdio(command, cli.addr, version, &stop).await,
            }
        };
        tokio::select! {
            outcome = bridging => outcome.map(|()| ExitCode::SUCCESS),
            code = told_to_stop(signals, &stop) => Ok(code),
        }
    });
    // Not a plain drop: that would wait for a read of standard input that may never end. A child
    // that is still there is killed here.
    runtime.shutdown_timeout(Duration::from_millis(200));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("mcp-bridge: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// At the first signal open calls are cancelled, and answered. Returns at the second, or when the
/// end is overdue. Not `Signals::stop`: it exits on the spot, and would leave the child behind.
async fn told_to_stop(mut signals: Signals, stop: &Stop) -> ExitCode {
    signals.recv().await;
    stop.now();
    let (why, code) = tokio::select! {
        () = signals.recv() => ("ended at once", 130),
        () = sleep(OVERDUE) => ("the end was overdue", 1),
    };
    eprintln!("mcp-bridge: {why}");
    ExitCode::from(code)
}

enum Side {
    Url(String),
    Command(Command),
}

fn refuse(why: &str) -> ! {
    Cli::command().error(ErrorKind::InvalidValue, why).exit()
}

async fn stdio_to_http(
    url: &str,
    version: Option<ProtocolVersion>,
    stop: &Stop,
) -> anyhow::Result<()> {
    let upstream = tokio::select! {
        upstream = Upstream::connect(http(url), version) => upstream.with_context(|| no_server(url))?,
        () = stop.token().cancelled() => return Ok(()),
    };
    let upstream = Arc::new(upstream);
    let server = Server::new(Translate::new(Arc::clone(&upstream)));
    let (input, output) = stdio_pipes();
    let host = CancelAware::silent(AsyncRwTransport::new_server(input, output));
    let outcome = hosting::serve_aware(server, host, stop.clone()).await;
    // Also when the host never spoke: the session at the server is this bridge's own.
    outcome.and(upstream.close().await)
}

async fn relay_to(url: &str, stop: &Stop) -> anyhow::Result<()> {
    let (input, output) = stdio_pipes();
    let host = CancelAware::silent(AsyncRwTransport::new_server(input, output));
    match relay(host, http(url), stop.clone()).await {
        End::Host(_) | End::Stopped => Ok(()),
        End::Server => bail!(no_server(url)),
    }
}

async fn http_to_stdio(
    command: Command,
    addr: SocketAddr,
    version: Option<ProtocolVersion>,
    stop: &Stop,
) -> anyhow::Result<()> {
    let program = command.as_std().get_program().display().to_string();
    let listener = TcpListener::bind(addr).await.with_context(|| {
        format!("cannot listen on {addr}; --addr 127.0.0.1:0 takes a free port")
    })?;
    let child = child(command)?;
    let _family = Family::of(&child);
    let upstream = tokio::select! {
        upstream = Upstream::connect(child, version) => upstream
            .with_context(|| format!("{program} does not speak MCP on its standard output"))?,
        () = stop.token().cancelled() => return Ok(()),
    };
    let upstream = Arc::new(upstream);
    println!("mcp-bridge serves {program} at http://{}/mcp", listener.local_addr()?);
    let server = Server::new(Translate::new(Arc::clone(&upstream)));
    let site = Site::new(Door::Http(listener), stop.clone());
    let mut hosting = tokio::spawn(hosting::host(server, site));
    let (outcome, died) = tokio::select! {
        ended = &mut hosting => (ended, false),
        () = upstream.open().gone() => {
            // Those who wait get their errors, and then this ends: there is nothing to bridge.
            stop.now();
            (hosting.await, true)
        }
    };
    let closed = upstream.close().await;
    outcome??;
    closed?;
    if died {
        bail!("{program} has ended");
    }
    Ok(())
}

fn no_server(url: &str) -> String {
    format!("no MCP server answers at {url}")
}

//! The command line, the same for every lesson.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::lesson::{Protocol, Transport};
use crate::wrong::Wrong;

/// The longest step: half of what a lesson waits for news.
const MAX_TICK: Duration = Duration::from_secs(5);

#[derive(Debug, Parser)]
#[command(version, after_help = "Without a command: server and client in one go.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Mode>,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// How client and server are connected
    #[arg(long, global = true, value_enum, default_value = "http")]
    pub(crate) transport: Transport,
    /// The protocol revision that the client speaks (a server speaks both)
    #[arg(long, global = true, value_enum, default_value = "2025-11-25")]
    pub(crate) protocol: Protocol,
    /// Length of one step of the server's work, for example 50ms [default: 1s; the tour: 100ms]
    #[arg(long, global = true, value_parser = tick)]
    pub(crate) tick: Option<Duration>,
    /// Make the server wrong on purpose, to see the lesson notice
    #[arg(long, global = true, value_enum)]
    pub(crate) wrong: Option<Wrong>,
    /// Log to standard error: -v what happens, -vv every message
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Only this lesson, where the program has several
    #[arg(long, global = true, hide = true)]
    pub(crate) lesson: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Mode {
    /// Only the server, until Ctrl-C
    Serve {
        /// The address to listen on (HTTP); port 0 takes a free one
        #[arg(long, default_value = "127.0.0.1:8000")]
        addr: SocketAddr,
        /// A folder of CSV files to serve instead of the generated sample
        #[arg(long)]
        data: Option<PathBuf>,
    },
    /// Only the client, against a server that runs already (HTTP)
    Client {
        /// The server's MCP endpoint
        #[arg(long, default_value = "http://localhost:8000/mcp")]
        url: String,
    },
}

fn tick(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(tick) if tick <= MAX_TICK => Ok(tick),
        Ok(_) => Err(format!("a step may last {} at most", humantime::format_duration(MAX_TICK))),
        Err(error) => Err(format!("{error}; write it with a unit, as in 50ms or 1s")),
    }
}

/// An option's value, as one would type it.
pub(crate) fn said(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

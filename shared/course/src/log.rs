//! What a server logs, and who reads it: a person, or a program.

use clap::ValueEnum;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people; none without -v or `RUST_LOG`.
    Text,
    /// One JSON object in each line, with the call's span: what -v logs, without -v too.
    Json,
}

/// Logs to standard error. `RUST_LOG` chooses what, by target and level (not by span: that would
/// take a regex engine, and ten seconds more to build); without it nothing is logged, with `-v` what
/// happens to calls, with `-vv` every message.
///
/// What happens to calls is logged in `hosting`. rmcp's INFO prints every notification with its
/// payload, and its ERROR fires for each client of 2026-07-28 that cancels by closing its stream:
/// neither is a learner's first sight.
pub(crate) fn to_stderr(verbose: u8, format: Format) {
    let unasked = match (verbose, format) {
        (0, Format::Text) => "off",
        (0 | 1, _) => "hosting=info",
        _ => "trace",
    };
    let wanted = std::env::var("RUST_LOG").ok().filter(|_| verbose == 0);
    let targets = wanted.as_deref().unwrap_or(unasked).parse().unwrap_or_else(|error| {
        eprintln!("RUST_LOG is not understood: {error}. Write for example hosting=debug,rmcp=info");
        Targets::new()
    });
    let log = layer().with_writer(std::io::stderr);
    let log = match format {
        Format::Text => log.boxed(),
        Format::Json => log.json().flatten_event(true).with_span_list(false).boxed(),
    };
    registry().with(log).with(targets).init();
}

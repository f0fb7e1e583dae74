//! What a server logs, and who reads it: a person, or a program.

use clap::ValueEnum;
use tracing_subscriber::filter::EnvFilter;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people; none without -v.
    Text,
    /// One JSON object in each line, with the call's span: what -v logs, without -v too.
    Json,
}

/// Logs to standard error. `RUST_LOG` chooses what; without it nothing is logged, with `-v` what
/// happens to calls, with `-vv` every message.
///
/// The lessons' own events are in `hosting`. rmcp's INFO prints every notification with its
/// payload, and its ERROR fires for each client of 2026-07-28 that cancels by closing its stream:
/// neither is a learner's first sight.
pub(crate) fn to_stderr(verbose: u8, format: Format) {
    let unasked = match (verbose, format) {
        (0, Format::Text) => "off",
        (0 | 1, _) => "hosting=info",
        _ => "trace",
    };
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(wanted) if verbose == 0 => EnvFilter::new(wanted),
        _ => EnvFilter::new(unasked),
    };
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    match format {
        Format::Text => log.init(),
        Format::Json => log.json().flatten_event(true).with_span_list(false).init(),
    }
}

//! What a server logs, and where a person reads it.

/// Logs to standard error. `RUST_LOG` chooses what; without it nothing is logged, with `-v` what
/// happens to calls, with `-vv` every message.
///
/// The lessons' own events are on `shared`. rmcp's INFO prints every notification with its
/// payload, and its ERROR fires for each client of 2026-07-28 that cancels by closing its stream:
/// neither is a learner's first sight.
pub(crate) fn to_stderr(verbose: u8) {
    use tracing_subscriber::filter::EnvFilter;
    let unasked = match verbose {
        0 => "off",
        1 => "shared=info",
        _ => "trace",
    };
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(wanted) if verbose == 0 => EnvFilter::new(wanted),
        _ => EnvFilter::new(unasked),
    };
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
}

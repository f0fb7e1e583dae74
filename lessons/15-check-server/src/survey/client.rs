//! A client is judged by the server that it calls: `basic-cancel serve`, which has `list_calls`.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::group::Group;
use super::legacy;
use crate::wire::{Place, Revision, Wire};

const TICK: &str = "250ms";
/// A user stops the call when the server says that it has come this far.
const BEGUN: u64 = 2;
/// Steps that may be done after the caller was told: the cancel is on its way.
const SLACK: u64 = 4;
/// No wait is longer. On a busy machine an interpreter takes its time to start.
const LONG: Duration = Duration::from_secs(90);

/// The time between two looks at the list.
const LOOK: Duration = Duration::from_millis(50);
/// How long a word to the caller may take once the call has ended.
const LAST_WORD: Duration = Duration::from_secs(10);

/// How the user stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By the task, the signal, the dropped future.
    Stop,
    /// The framework's own timeout ends the call.
    Timeout,
}

impl Way {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Timeout => "timeout",
        }
    }
}

/// What the server said, and what the caller was told.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `stops`, `late` or `runs on`.
    pub verdict: &'static str,
    pub steps: u64,
    pub told: String,
    pub reason: Option<String>,
}

/// Runs a client once. It takes a URL, and seconds if its timeout is wanted.
pub async fn judge(mut command: Command, revision: Revision, way: Way) -> anyhow::Result<Seen> {
    let mut serve = Command::new(super::basic_cancel()?);
    serve.args(["serve", "--addr", "127.0.0.1:0", "--tick", TICK]);
    let mut server = Group::start(serve)?;
    let url = |line: &str| {
        line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
    };
    let url = server.line(LONG, url).await?.context("the server does not start")?;
    let (asks, _) = Wire::open(&Place::Url(url.clone()), Revision::Stateless).await?;

    let proxy = match revision {
        Revision::Handshake => Some(legacy::before(&url).await?),
        Revision::Stateless => None,
    };
    command.arg(proxy.as_ref().map_or(&url, |proxy| &proxy.url));
    if way == Way::Timeout {
        command.arg("2");
    }
    // Nothing of a user's data leaves this machine, and nothing is printed late.
    command.envs([
        ("PYTHONUNBUFFERED", "1"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("NO_PROXY", "127.0.0.1"),
        ("MCP_USE_ANONYMIZED_TELEMETRY", "false"),
        ("CREWAI_DISABLE_TELEMETRY", "true"),
        ("OTEL_SDK_DISABLED", "true"),
        ("MASTRA_TELEMETRY_DISABLED", "1"),
    ]);
    let mut user = Group::start(command)?;

    let until = Instant::now() + LONG;
    let told = |line: &str| line.strip_prefix("told: ").map(str::to_owned);
    let begun = loop {
        if let Some(call) = call(&asks).await?
            && (call["state"] != "running" || call["steps_done"].as_u64() >= Some(BEGUN))
        {
            break call;
        }
        if let Some(told) = user.line(LOOK, told).await.context("it never called the tool")? {
            bail!("it never called the tool, and says {told}");
        }
        if Instant::now() > until {
            bail!("it never calls the tool. {}", user.last_words());
        }
    };
    let modern = begun["session"].is_null();
    if modern != (revision == Revision::Stateless) {
        bail!("it spoke the other revision");
    }
    if way == Way::Stop {
        user.press_enter().await;
    }
    // A caller that is told nothing while the tool runs waits for the tool: the list ends that.
    let (mut word, mut when_told) = (None, None);
    let mut ended_at = None;
    let end = loop {
        let now = call(&asks).await?.context("the call is no longer listed")?;
        if now["state"] != "running" {
            let at: &mut Instant = ended_at.get_or_insert_with(Instant::now);
            if word.is_some() || at.elapsed() > LAST_WORD {
                break now;
            }
        }
        if word.is_none() {
            if let Some(told) = user.line(LOOK, told).await? {
                when_told = call(&asks).await?;
                word = Some(told);
            }
        } else {
            sleep(LOOK).await;
        }
        if Instant::now() > until {
            bail!("the call does not end");
        }
    };
    let done = |call: &Value| call["steps_done"].as_u64().unwrap_or(0);
    let told_at = when_told.as_ref().map_or(BEGUN, &done);
    let verdict = match end["state"].as_str() {
        Some("cancelled") if done(&end) <= told_at + SLACK => "stops",
        Some("cancelled") => "late",
        _ => "runs on",
    };
    Ok(Seen {
        verdict,
        steps: done(&end),
        told: word.unwrap_or_default(),
        reason: end["reason"].as_str().map(str::to_owned),
    })
}

/// The newest call of the tool, as the server lists it.
async fn call(asks: &Wire) -> anyhow::Result<Option<Value>> {
    let result = asks.ask("tools/call", json!({ "name": "list_calls", "arguments": {} })).await?;
    let calls = result["structuredContent"]["calls"].as_array().cloned().unwrap_or_default();
    Ok(calls.into_iter().rfind(|call| call["tool"] == "process_large_file"))
}

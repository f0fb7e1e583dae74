//! A client is judged by the server that it calls, not by what it says.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::asked::{Asked, Call, Over};
use super::group::Group;

/// A user stops the call when the server says that it has come this far.
const BEGUN: u64 = 2;
/// Steps that may be done after the caller was told: the cancel is on its way.
const SLACK: u64 = 4;
/// No wait is longer. On a busy machine an interpreter takes its time to start.
const LONG: Duration = Duration::from_secs(200);

/// The time between two looks at the call.
const LOOK: Duration = Duration::from_millis(100);
/// How long a word to the caller may take once the call has ended.
const LAST_WORD: Duration = Duration::from_secs(5);

/// How a call is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// By the task, the signal, the dropped future.
    Stop,
    /// The framework's own timeout ends the call.
    Timeout,
    /// The client is closed while the call runs.
    Close,
    /// Ctrl-C in the client's terminal.
    Interrupt,
    /// SIGKILL: the client can do nothing.
    Kill,
}

impl Way {
    pub const ALL: [Self; 5] =
        [Self::Stop, Self::Timeout, Self::Close, Self::Interrupt, Self::Kill];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Timeout => "timeout",
            Self::Close => "close",
            Self::Interrupt => "interrupt",
            Self::Kill => "kill",
        }
    }

    /// What the program is told after the server's address.
    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Stop => &["stop"],
            Self::Timeout => &["wait", "2"],
            Self::Close => &["close"],
            Self::Interrupt | Self::Kill => &["wait"],
        }
    }
}

/// What the server said, and what the caller was told.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `stops`, `late` or `runs on`.
    pub verdict: &'static str,
    pub steps: u64,
    /// Empty if there was nobody to tell.
    pub told: String,
    pub reason: Option<String>,
}

/// Runs a client once.
pub async fn judge(program: Command, over: Over, way: Way) -> anyhow::Result<Seen> {
    let asked = Asked::start(over).await?;
    // What a shell starts in the background ignores Ctrl-C, and so would all that it starts.
    let mut command = Command::new("env");
    command.arg("--default-signal=INT").arg(program.as_std().get_program());
    command.args(program.as_std().get_args());
    command.arg(asked.address()).args(way.arguments());
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
    at_work(&asked, &mut user).await?;
    match way {
        Way::Stop | Way::Close => user.press_enter().await,
        Way::Timeout => {}
        Way::Interrupt => user.interrupt(),
        Way::Kill => user.kill(),
    }
    let (mut word, mut ended_at) = (None, None);
    let until = Instant::now() + LONG;
    // A caller that is told nothing while the tool runs waits for the tool: the server ends that.
    let end = loop {
        let now = asked.call().await?.context("the call is no longer listed")?;
        if now.state != "running" {
            let at: &mut Instant = ended_at.get_or_insert_with(Instant::now);
            if word.is_some() || at.elapsed() > LAST_WORD {
                break now;
            }
        }
        if word.is_some() {
            sleep(LOOK).await;
        } else if let Some(told) = heard(&mut user, way).await? {
            let call = asked.call().await?.context("the call is no longer listed")?;
            word = Some((told, call.steps));
        }
        if Instant::now() > until {
            bail!("the call does not end");
        }
    };
    let (told, told_at) = word.unwrap_or((String::new(), BEGUN));
    let verdict = match &*end.state {
        "cancelled" | "gone" if end.steps <= told_at + SLACK => "stops",
        "cancelled" | "gone" => "late",
        _ => "runs on",
    };
    let Call { steps, reason, .. } = end;
    Ok(Seen { verdict, steps, told, reason })
}

/// Waits until the tool works.
async fn at_work(asked: &Asked, user: &mut Group) -> anyhow::Result<()> {
    let until = Instant::now() + LONG;
    loop {
        if let Some(call) = asked.call().await?
            && (call.state != "running" || call.steps >= BEGUN)
        {
            return Ok(());
        }
        if let Some(told) = user.line(LOOK, told).await.context("it never called the tool")? {
            bail!("it never called the tool, and says {told}");
        }
        if Instant::now() > until {
            bail!("it never calls the tool. {}", user.last_words());
        }
    }
}

/// What the caller is told, if it is by now. A program that ends needs no words.
async fn heard(user: &mut Group, way: Way) -> anyhow::Result<Option<String>> {
    match way {
        Way::Stop | Way::Timeout => user.line(LOOK, told).await,
        Way::Close => {
            Ok(user.line(LOOK, told).await.unwrap_or_else(|error| Some(format!("{error:#}"))))
        }
        Way::Interrupt | Way::Kill => Ok(user.ends(LOOK).await.then(String::new)),
    }
}

fn told(line: &str) -> Option<String> {
    line.strip_prefix("told: ").map(|told| told.chars().take(200).collect())
}

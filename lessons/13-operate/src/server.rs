//! The server of a chapter: a process of its own, which gets real signals.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use course::lesson::Transport;
use course::stage::Stage;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rmcp::model::ClientCapabilities;
use serde_json::Value;
use shared::client::{Client, PATIENCE};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, copy_bidirectional, join};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A serving process. Killed when dropped.
pub(crate) struct Serving {
    child: Child,
    log: JoinHandle<String>,
    patience: Duration,
}

impl Serving {
    /// Starts a server that logs JSON lines, and connects a client to it.
    pub(crate) async fn start(stage: &Stage, grace: Duration) -> anyhow::Result<(Self, Client)> {
        let grace = format!("{}ms", grace.as_millis());
        let serve = ["serve", "--addr", "127.0.0.1:0", "--grace", &grace, "--log", "json"];
        let mut program: Command = stage.program(&serve)?;
        // Its log is part of the story: what `RUST_LOG` asks for elsewhere is not.
        program
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A terminal's Ctrl-C is meant for the story. The server gets its signals from there.
        let mut child = program.process_group(0).kill_on_drop(true).spawn()?;
        let log = tokio::spawn(all_of(child.stderr.take().context("no standard error")?));
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (input, output) = input.zip(output).context("no standard input and output")?;
        let version = stage.protocol.version();
        let client = match stage.transport {
            Transport::Http => {
                let mut lines = BufReader::new(output).lines();
                let first = timeout(PATIENCE, lines.next_line()).await??.unwrap_or_default();
                let (_, url) = first.split_once(" at ").context("the server does not serve")?;
                let client = Client::http(url, version).await?;
                // Somebody must read what the server prints.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                client
            }
            Transport::Stdio => {
                let (here, mut there) = tokio::io::duplex(64 << 10);
                let mut pipes = join(output, input);
                tokio::spawn(async move { copy_bidirectional(&mut there, &mut pipes).await });
                Client::pipe_as(ClientCapabilities::default(), here, version).await?
            }
        };
        Ok((Self { child, log, patience: stage.patience }, client))
    }

    /// What a process manager sends.
    pub(crate) fn terminate(&self) -> anyhow::Result<()> {
        let id = self.child.id().context("the server has ended too early")?;
        Ok(kill(Pid::from_raw(id.try_into()?), Signal::SIGTERM)?)
    }

    /// Waits for the end of the process. Returns how it ended, and its log.
    pub(crate) async fn ended(mut self) -> anyhow::Result<(ExitStatus, Vec<Value>)> {
        let Ok(status) = timeout(self.patience, self.child.wait()).await else {
            bail!("the server still runs, {:?} after the signal", self.patience);
        };
        let log = timeout(PATIENCE, self.log).await??;
        let events = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok((status?, events))
    }
}

async fn all_of(mut pipe: impl AsyncRead + Unpin) -> String {
    let mut text = String::new();
    let _ = pipe.read_to_string(&mut text).await;
    text
}

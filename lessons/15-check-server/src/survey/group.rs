//! A process with all that it starts: one group, which ends with this value.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::timeout;

#[derive(Debug)]
pub struct Group {
    child: Child,
    id: Pid,
    input: Option<ChildStdin>,
    lines: UnboundedReceiver<String>,
    /// Lines that were read over: they tell what went wrong.
    heard: Vec<String>,
}

impl Group {
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let shown = format!("{:?}", command.as_std());
        let mut child = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{shown} cannot be started"))?;
        let id = Pid::from_raw(i32::try_from(child.id().context("no process")?)?);
        let input = child.stdin.take();
        let (say, lines) = mpsc::unbounded_channel();
        let (stdout, stderr) = child.stdout.take().zip(child.stderr.take()).context("no pipes")?;
        let errors = say.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = say.send(line);
            }
        });
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = errors.send(format!("stderr: {line}"));
            }
        });
        Ok(Self { child, id, input, lines, heard: Vec::new() })
    }

    /// Waits for a line in which `look` finds something. All others are read over. None if none
    /// came; an error if the process has ended.
    pub async fn line<T>(
        &mut self,
        patience: Duration,
        mut look: impl FnMut(&str) -> Option<T>,
    ) -> anyhow::Result<Option<T>> {
        let found = timeout(patience, async {
            while let Some(line) = self.lines.recv().await {
                if let Some(found) = look(&line) {
                    return Some(found);
                }
                self.heard.push(line);
            }
            None
        });
        match found.await {
            Ok(Some(found)) => Ok(Some(found)),
            Ok(None) => bail!("it ended. {}", self.last_words()),
            Err(_) => Ok(None),
        }
    }

    pub fn last_words(&self) -> String {
        let from = self.heard.len().saturating_sub(6);
        format!("Its last lines: {}", self.heard[from..].join(" / "))
    }

    pub async fn press_enter(&mut self) {
        if let Some(input) = &mut self.input {
            let _ = input.write_all(b"\n").await;
        }
    }

    /// Ctrl-C: a terminal tells the whole group.
    pub fn interrupt(&self) {
        let _ = killpg(self.id, Signal::SIGINT);
    }

    /// Ends the process, and not what it has started.
    pub fn kill(&self) {
        let _ = kill(self.id, Signal::SIGKILL);
    }

    /// Whether the process ends in this time.
    pub async fn ends(&mut self, patience: Duration) -> bool {
        timeout(patience, self.child.wait()).await.is_ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The group lives as long as one of its processes does, and its number with it.
        let _ = killpg(self.id, Signal::SIGKILL);
    }
}

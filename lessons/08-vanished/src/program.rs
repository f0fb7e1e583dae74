//! Another process of this program, and what it prints.

use std::process::{ExitStatus, Stdio};

use anyhow::{Context, bail};
#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process_group};
use shared::client::PATIENCE;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::timeout;

/// A process in a group of its own, as a terminal starts one. Killed when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    lines: UnboundedReceiver<String>,
}

impl Program {
    /// Starts the process.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        #[cfg(unix)]
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().context("cannot start a process")?;
        let (sender, lines) = mpsc::unbounded_channel();
        read(child.stdout.take(), sender.clone());
        read(child.stderr.take(), sender);
        Ok(Self { child, lines })
    }

    /// The next line with one of these words in it, on standard output or standard error.
    /// Those of a child of the process count too: it inherits standard error.
    pub async fn line_with(&mut self, words: &[&str]) -> anyhow::Result<String> {
        let search = async {
            while let Some(line) = self.lines.recv().await {
                if words.iter().any(|word| line.contains(word)) {
                    return Ok(line);
                }
            }
            bail!("it ended without a line with {words:?}")
        };
        let found = timeout(PATIENCE, search).await;
        found.with_context(|| format!("no line with {words:?} in {PATIENCE:?}"))?
    }

    /// The process's id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills the process, so that it cannot do anything about it.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Sends what a terminal sends at Ctrl-C, to whom a terminal sends it: the whole group.
    pub fn interrupt(&self) -> anyhow::Result<()> {
        #[cfg(unix)]
        if let Some(group) = self.id().map(i32::try_from).transpose()?.and_then(Pid::from_raw) {
            kill_process_group(group, Signal::INT)?;
            return Ok(());
        }
        bail!("there is no such process, or no such signal on this system")
    }

    /// Waits for the end of the process.
    pub async fn end(&mut self) -> anyhow::Result<ExitStatus> {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        Ok(ended.with_context(|| format!("it still runs after {PATIENCE:?}"))??)
    }
}

fn read<R>(pipe: Option<R>, lines: UnboundedSender<String>)
where
    R: AsyncRead + Unpin + Send + 'static,
{
    let Some(pipe) = pipe else { return };
    let mut pipe = BufReader::new(pipe).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = pipe.next_line().await {
            let _ = lines.send(line);
        }
    });
}

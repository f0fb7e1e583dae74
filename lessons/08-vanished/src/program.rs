//! Another process of this program, and what it prints.

use std::process::Stdio;

use anyhow::{Context, bail};
use shared::client::PATIENCE;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::timeout;

/// A process. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    lines: UnboundedReceiver<String>,
}

impl Program {
    /// Starts the process.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().context("cannot start a process")?;
        let (sender, lines) = mpsc::unbounded_channel();
        read(child.stdout.take(), sender.clone());
        read(child.stderr.take(), sender);
        Ok(Self { child, lines })
    }

    /// The next line with this in it.
    pub(crate) async fn line_with(&mut self, word: &str) -> anyhow::Result<String> {
        self.line_with_one_of(&[word]).await
    }

    /// The next line with one of these words in it, on standard output or standard error.
    /// Those of a child of the process count too: it inherits standard error.
    pub(crate) async fn line_with_one_of(&mut self, words: &[&str]) -> anyhow::Result<String> {
        loop {
            let line = timeout(3 * PATIENCE, self.lines.recv()).await;
            match line.with_context(|| format!("no line with {words:?}"))? {
                Some(line) if words.iter().any(|word| line.contains(word)) => return Ok(line),
                Some(_) => {}
                None => bail!("it ended without a line with {words:?}"),
            }
        }
    }

    /// Kills the process, so that it cannot do anything about it.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
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

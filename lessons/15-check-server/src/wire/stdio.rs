//! A server as a child process: one JSON message a line, each way.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::timeout;

use super::log::{Event, Log};
use crate::lane::plain;
use crate::tree::{self, Tree};

/// So many lines may come before the first message: some programs greet their user.
const PATIENCE: u32 = 1000;
const NO_MCP: &str = "this program does not speak MCP on its standard output";
/// A longer line is no message.
const LONGEST: u64 = 64 << 20;
/// What is kept of a line that is no message: its start, in characters.
const KEPT: usize = 1000;

#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Ends with the server's standard error.
    last_words: Option<JoinHandle<()>>,
    input: Option<mpsc::UnboundedSender<String>>,
    writer: AbortHandle,
    /// Whether the server's output is read.
    reads: watch::Sender<bool>,
}

impl Process {
    /// Starts the command. What it says goes into the log.
    pub fn start(command: &[String], log: &Arc<Log>) -> anyhow::Result<Self> {
        let (program, arguments) = command.split_first().context("no command was given")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("the command `{program}` cannot be started"))?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (mut stdin, stdout) = stdin.zip(stdout).context("the command has no pipes")?;

        // A server that does not read must not stop us: the queue takes all, a task writes it.
        // What was sent in one breath is written in one piece.
        let (input, mut queue) = mpsc::unbounded_channel::<String>();
        let writer = tokio::spawn(async move {
            let mut lines = Vec::new();
            while queue.recv_many(&mut lines, 100).await > 0 {
                if stdin.write_all(lines.concat().as_bytes()).await.is_err() {
                    return;
                }
                lines.clear();
            }
        });
        let (reads, reading) = watch::channel(true);
        let out = log.clone();
        tokio::spawn(async move {
            let (mut speaks, mut garbage) = (false, 0);
            read_lines(stdout, reading, |line| {
                match serde_json::from_str(&line) {
                    Ok(Value::Array(batch)) => {
                        for one in batch {
                            out.push(0, Event::Received(one, None));
                        }
                    }
                    Ok(message @ Value::Object(_)) => {
                        speaks |= message.get("jsonrpc").is_some();
                        out.push(0, Event::Received(message, None));
                    }
                    _ if line.trim().is_empty() => {}
                    _ => out.push(0, Event::Garbage(line.chars().take(KEPT).collect())),
                }
                garbage += 1;
                if speaks || garbage < PATIENCE {
                    return true;
                }
                let wrote = plain(&line);
                out.push(0, Event::Lost(format!("{NO_MCP}; it wrote: {wrote}")));
                false
            })
            .await;
            out.push(0, Event::Ended);
        });
        let err = log.clone();
        let note = move |line| {
            err.push(0, Event::Stderr(line));
            true
        };
        let reading = reads.subscribe();
        let last_words = stderr.map(|stderr| tokio::spawn(read_lines(stderr, reading, note)));
        let writer = writer.abort_handle();
        Ok(Self { child, last_words, input: Some(input), writer, reads })
    }

    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    pub fn send(&self, message: &Value) {
        if let Some(input) = &self.input {
            let _ = input.send(format!("{message}\n"));
        }
    }

    /// Ends the server's input, once all that was sent is written.
    pub fn end_input(&mut self) {
        self.input = None;
    }

    /// Reads no more of what the server says.
    pub fn stall(&self) {
        self.reads.send_replace(false);
    }

    /// Ends the server's input, whether it has read what was sent or not.
    pub fn abandon(&mut self) {
        self.writer.abort();
        self.input = None;
    }

    /// SIGTERM: what the specification lets a client do when the end of input was not enough.
    pub fn terminate(&self) {
        if let Some(id) = self.id() {
            signal(id, Signal::SIGTERM);
        }
    }

    pub async fn exit(&mut self) -> Option<ExitStatus> {
        self.child.wait().await.ok()
    }

    /// Kills the command and all that it has started: a server may stand behind `npx` or a shell.
    pub async fn kill(&mut self) {
        let tree = self.id().and_then(|id| Tree::of(id, None));
        let family = tree.map(|tree| tree.processes()).unwrap_or_default();
        let _ = self.child.kill().await;
        for process in family.into_keys().filter(|process| tree::lives(*process)) {
            signal(process.0, Signal::SIGKILL);
        }
    }

    /// Kills the server. All that it has written to standard error is in the log then.
    pub async fn hear_out(&mut self) {
        // A grandchild may hold the pipe open.
        const LAST_WORDS: Duration = Duration::from_secs(1);
        self.kill().await;
        if let Some(reading) = self.last_words.take() {
            let _ = timeout(LAST_WORDS, reading).await;
        }
    }
}

/// Sends the signal. The process may have ended by itself just now.
fn signal(id: u32, signal: Signal) {
    let _ = i32::try_from(id).map(|id| kill(Pid::from_raw(id), signal));
}

/// Reads lines, whatever bytes are in them, while somebody wants them. One that is too long comes
/// in parts: as a message it would be none anyway.
pub async fn read_lines(
    from: impl AsyncRead + Unpin,
    mut wanted: watch::Receiver<bool>,
    mut each: impl FnMut(String) -> bool,
) {
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    while let Ok(1..) = (&mut reader).take(LONGEST).read_until(b'\n', &mut line).await {
        if !each(String::from_utf8_lossy(&line).trim_end().to_owned()) {
            return;
        }
        line.clear();
        if wanted.wait_for(|wanted| *wanted).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_the_command_has_started_ends_with_it() {
        const PAUSE: Duration = Duration::from_millis(10);
        let command = ["sh", "-c", "sleep 600; true"].map(str::to_owned);
        let mut process = Process::start(&command, &Arc::new(Log::new())).unwrap();
        let tree = Tree::of(process.id().unwrap(), None).unwrap();
        let ended = async {
            let child = loop {
                let family = tree.processes();
                if let Some((child, _)) = family.into_iter().find(|(_, name)| name == "sleep") {
                    break child;
                }
                tokio::time::sleep(PAUSE).await;
            };
            process.kill().await;
            while tree::lives(child) {
                tokio::time::sleep(PAUSE).await;
            }
        };
        timeout(Duration::from_secs(30), ended).await.unwrap();
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_not_kept_as_one() {
        let (_reads, reading) = watch::channel(true);
        let mut lengths = Vec::new();
        read_lines(tokio::io::repeat(b'x').take(LONGEST + 5), reading, |line| {
            lengths.push(line.len() as u64);
            true
        })
        .await;
        assert_eq!(lengths, [LONGEST, 5]);
    }
}

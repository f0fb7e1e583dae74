//! A server as a process of its own, the way a user starts it.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

pub const DEADLINE: Duration = Duration::from_secs(30);

/// A serving process, ended when dropped.
pub struct Process {
    child: Child,
    /// The MCP endpoint; empty on stdio.
    pub url: String,
    input: Option<ChildStdin>,
    output: Receiver<String>,
}

impl Process {
    /// A lesson's program, serving over HTTP on a free port.
    pub fn http(program: &str, tick: &str) -> Self {
        Self::listen(program, &["--tick", tick])
    }

    /// A server that is wrong on purpose.
    pub fn wrong(program: &str, flaw: &str, tick: &str) -> Self {
        Self::listen(program, &["--tick", tick, "--wrong", flaw])
    }

    fn listen(program: &str, options: &[&str]) -> Self {
        Self::at_a_url(serve(program, &[&["--addr", "127.0.0.1:0"], options].concat()))
    }

    /// A lesson's program, serving on its standard input and output.
    pub fn stdio(program: &str, tick: &str) -> Self {
        Self::start(serve(program, &["--transport", "stdio", "--tick", tick]))
    }

    /// Any program whose first line ends with the URL that it serves.
    pub fn at_a_url(program: Command) -> Self {
        let mut server = Self::start(program);
        let first = server.line();
        first.rsplit(' ').next().unwrap().clone_into(&mut server.url);
        server
    }

    /// Any program.
    pub fn start(mut program: Command) -> Self {
        let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (lines, output) = mpsc::channel();
        let printed: Lines<BufReader<ChildStdout>> =
            BufReader::new(child.stdout.take().unwrap()).lines();
        // A thread that reads, so that a test can wait for a line with a deadline.
        std::thread::spawn(move || {
            printed.map_while(Result::ok).try_for_each(|line| lines.send(line))
        });
        let input = child.stdin.take();
        Self { child, url: String::new(), input, output }
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that the server prints.
    pub fn line(&self) -> String {
        self.output.recv_timeout(DEADLINE).expect("a line from the server")
    }

    /// The next line with this in it.
    pub fn line_with(&self, word: &str) -> String {
        let found = std::iter::repeat_with(|| self.line()).find(|line| line.contains(word));
        found.unwrap_or_default()
    }

    /// All lines until the server's output ends.
    pub fn rest(&self) -> Vec<String> {
        let ends = Instant::now() + DEADLINE;
        let next = || match self.output.recv_timeout(ends.saturating_duration_since(Instant::now()))
        {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the server's output does not end"),
        };
        std::iter::from_fn(next).collect()
    }

    /// Writes a line to the server's standard input.
    pub fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Closes the server's standard input.
    pub fn hang_up(&mut self) {
        self.input = None;
    }

    /// Sends a signal: `INT` is Ctrl-C, `TERM` what a process manager sends.
    pub fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }

    /// Waits for the process to end.
    pub fn ends_within(&mut self, deadline: Duration) -> ExitStatus {
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(asked.elapsed() < deadline, "the server did not end within {deadline:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn serve(program: &str, options: &[&str]) -> Command {
    let mut program = Command::new(program);
    program.arg("serve").args(options);
    program
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

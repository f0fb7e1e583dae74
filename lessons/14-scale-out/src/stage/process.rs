//! A program that ends when this one does, even if this one is killed.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdin, Command};

/// Runs "$@", and kills it when standard input ends. A child cannot do that for itself unless it
/// reads its input; Redis, nginx and haproxy do not.
const GUARD: &str = r#""$@" </dev/null & cat >/dev/null; kill -s "$SIGNAL" $!; wait"#;

/// A program that runs.
pub struct Process {
    child: Child,
    /// The other end is the guard's standard input.
    alive: Option<ChildStdin>,
}

impl Process {
    /// Starts a program. This signal will end it.
    pub fn start(program: &Path, arguments: &[&str], signal: &str) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "sh"]).arg(program).args(arguments).env("SIGNAL", signal);
        // Ctrl-C in a terminal is meant for this program, which ends the others itself.
        #[cfg(unix)]
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let started = command.spawn();
        let mut child = started.with_context(|| format!("cannot start {}", program.display()))?;
        let alive = child.stdin.take();
        Ok(Self { child, alive })
    }

    /// Ends it, and returns when it has ended, with what it had to complain about.
    pub async fn end(mut self) -> Result<String> {
        drop(self.alive.take());
        let mut complaint = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut complaint).await?;
        }
        self.child.wait().await?;
        Ok(complaint)
    }
}

/// Where a program is, if it is installed. Debian keeps servers in folders that are not on every
/// user's PATH.
pub fn installed(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let candidates =
        names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.into_iter().find(|program| program.is_file())
}

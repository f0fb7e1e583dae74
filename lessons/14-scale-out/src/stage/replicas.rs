//! A replica, as a child process or in this one.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use shared::calls::{CallRecord, State};
use shared::client::PATIENCE;
use shared::stop::Stop;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_util::sync::DropGuard;

use super::engine::Engine;
use super::wire::Caller;
use crate::flaw::typed;
use crate::replica::{Manner, serve};
use crate::store::Store;

/// A replica that runs. Dropping it ends it.
pub struct Replica {
    /// Its own MCP endpoint.
    pub url: String,
    life: Life,
}

enum Life {
    /// It ends when its standard input does, so it cannot outlive this process.
    Child(Child),
    Here {
        _stop: DropGuard,
    },
}

impl Replica {
    /// Starts one.
    pub async fn start(
        engine: Option<&Engine>,
        memory: &Arc<dyn Store>,
        manner: Manner,
    ) -> Result<Self> {
        match engine {
            Some(engine) => Self::child(engine, manner).await,
            None => Self::here(memory.clone(), manner).await,
        }
    }

    async fn here(memory: Arc<dyn Store>, manner: Manner) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/mcp", listener.local_addr()?);
        let stop = Stop::default();
        let guard = stop.token().clone().drop_guard();
        tokio::spawn(serve(listener, memory, manner, stop));
        Ok(Self { url, life: Life::Here { _stop: guard } })
    }

    async fn child(engine: &Engine, manner: Manner) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--addr", "127.0.0.1:0"]);
        command.args(["--redis", &engine.url, "--prefix", &engine.prefix]);
        command.args(["--tick-ms", &manner.tick.as_millis().to_string()]);
        command.args(["--lease-ms", &manner.lease.as_millis().to_string(), "--until-eof"]);
        if let Some(flaw) = manner.flaw {
            command.args(["--wrong", &typed(flaw)]);
        }
        // Ctrl-C in a terminal is meant for this program, which ends its replicas itself.
        #[cfg(unix)]
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("cannot start a replica")?;
        let output = child.stdout.take().context("a replica has no output")?;
        let mut lines = BufReader::new(output).lines();
        let first = timeout(PATIENCE, lines.next_line()).await;
        let first = first.context("a replica does not start")??;
        // Whatever else it prints is read, so that it never waits for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let url = first.as_deref().and_then(|line| line.rsplit(' ').next());
        let url = url.context("a replica has ended; what it says is above")?.to_owned();
        Ok(Self { url, life: Life::Child(child) })
    }

    /// What it says of its calls.
    pub async fn calls(&self) -> Result<Vec<CallRecord>> {
        Caller::without_session(&self.url)?.calls().await
    }

    /// The same, when none of them runs any more.
    pub async fn calls_when_ended(&self) -> Result<Vec<CallRecord>> {
        Caller::without_session(&self.url)?.calls_when_ended().await
    }

    /// Sends a signal to its process.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let Life::Child(child) = &self.life else { bail!("this replica is no process of its own") };
        let id = child.id().context("the replica has ended")?;
        let sent = Command::new("kill").args(["-s", name, &id.to_string()]).status().await?;
        ensure!(sent.success(), "cannot send {name} to the replica");
        Ok(())
    }
}

/// How many of these calls ended so.
pub fn count(calls: &[CallRecord], state: State) -> usize {
    calls.iter().filter(|call| call.state == state).count()
}

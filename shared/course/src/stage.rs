//! Where a story is played: how it reaches its server.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::bail;
use hosting::between::Between;
use hosting::layer::Server;
use rmcp::model::ClientCapabilities;
use shared::client::{Client, PATIENCE};
use shared::server::Setup;
use shared::stop::Stop;
use tokio::io::DuplexStream;
use tokio::process::Command;
/// What can be wrong with a server, for a story or a check that wants such a server.
pub use wrong::Wrong;

use crate::way::{Protocol, Transport};

/// The length of a step, unless the command line says otherwise.
pub const DEFAULT_TICK: Duration = Duration::from_secs(1);
/// The least patience with a server that is wrong on purpose: its story is expected to fail.
pub const BRIEF_PATIENCE: Duration = Duration::from_secs(2);

/// What a story is played with.
pub struct Stage {
    /// The transport in use.
    pub transport: Transport,
    /// The protocol revision in use.
    pub protocol: Protocol,
    /// The length of one step of the server's work.
    pub tick: Duration,
    /// What is wrong with the server, if it is wrong on purpose.
    pub wrong: Option<Wrong>,
    /// How long the story asks until a call has stopped, before it says that it did not.
    pub patience: Duration,
    /// Whether the server is somebody else's: what the specification leaves open is then only
    /// remarked on.
    pub foreign: bool,
    /// The options that a further process of this program is started with.
    pub(crate) options: Vec<OsString>,
    pub(crate) place: Place,
}

/// Where the server is.
pub(crate) enum Place {
    Url(String),
    Child,
    InProcess { server: Server, between: Between, stop: Stop },
}

impl Stage {
    /// How long a story asks until a call has stopped. A server that is wrong on purpose gets the
    /// time of ten steps, in which the shorter calls of the lessons end by themselves.
    pub fn patience_with(wrong: Option<Wrong>, tick: Duration) -> Duration {
        wrong.map_or(PATIENCE, |_| (tick * 10).clamp(BRIEF_PATIENCE, PATIENCE))
    }

    /// A stage with a server that runs already, over HTTP.
    pub fn over_http(url: impl Into<String>, protocol: Protocol) -> Self {
        Self {
            transport: Transport::Http,
            protocol,
            tick: DEFAULT_TICK,
            wrong: None,
            patience: PATIENCE,
            foreign: false,
            options: Vec::new(),
            place: Place::Url(url.into()),
        }
    }

    /// A stage whose server and clients share one process and one thread, connected by pipes in
    /// memory that carry what standard input and output carry. For tests with a paused clock.
    pub fn in_process(
        make: fn(Setup) -> anyhow::Result<Server>,
        setup: Setup,
        protocol: Protocol,
        wrong: Option<Wrong>,
    ) -> anyhow::Result<Self> {
        let (tick, stop) = (setup.tick, setup.stop.clone());
        let server = make(setup)?;
        let (server, between) = Wrong::apply(wrong, server);
        Ok(Self { tick, wrong, ..Self::piped(server, between, stop, protocol) })
    }

    /// The same with a server of the test's own.
    pub fn piped(server: Server, between: Between, stop: Stop, protocol: Protocol) -> Self {
        let place = Place::InProcess { server, between, stop };
        Self { transport: Transport::Stdio, place, ..Self::over_http("", protocol) }
    }

    /// Connects a new client.
    pub async fn connect(&self) -> anyhow::Result<Client> {
        self.connect_as(ClientCapabilities::default(), self.protocol).await
    }

    /// Connects a new client that declares these capabilities and speaks this revision.
    pub async fn connect_as(
        &self,
        capabilities: ClientCapabilities,
        protocol: Protocol,
    ) -> anyhow::Result<Client> {
        let version = protocol.version();
        let client = match &self.place {
            Place::Url(url) => Client::http_as(capabilities, url, version).await,
            Place::Child => {
                let serve = self.program(&["serve", "--transport", "stdio"])?;
                Client::child_as(capabilities, serve, version).await
            }
            Place::InProcess { server, between, stop } => {
                let pipe = hosting::pipe(server.clone(), between, stop.clone());
                Client::pipe_as(capabilities, pipe, version).await
            }
        };
        Ok(client?.with_patience(self.patience))
    }

    /// This program once more, with the options of this run: as a server, or with a chapter.
    pub fn program(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        // An option among the arguments comes later, and counts.
        command.args(&self.options).args(arguments);
        Ok(command)
    }

    /// The server's MCP endpoint, for a lesson that brings a client of its own.
    pub fn url(&self) -> anyhow::Result<&str> {
        match &self.place {
            Place::Url(url) => Ok(url),
            Place::Child | Place::InProcess { .. } => bail!("on stdio there is no URL"),
        }
    }

    /// The way to a server in this process, for a lesson that brings a client of its own; none if
    /// the server is elsewhere.
    pub fn pipe(&self) -> Option<DuplexStream> {
        let Place::InProcess { server, between, stop } = &self.place else { return None };
        Some(hosting::pipe(server.clone(), between, stop.clone()))
    }

    /// Whether a cancellation is a message of its own, `notifications/cancelled`, with room
    /// for a reason. On HTTP 2026-07-28 it is not: there the closed stream is the cancel.
    pub fn cancels_by_message(&self) -> bool {
        (self.transport, self.protocol) != (Transport::Http, Protocol::V2026)
    }
}

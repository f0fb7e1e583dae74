//! What a lesson is, and what its story is played with.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::bail;
use clap::ValueEnum;
use futures::future::BoxFuture;
use rmcp::model::{ClientCapabilities, ProtocolVersion};
use tokio::process::Command;

use crate::client::Client;
use crate::hosting::Site;
use crate::server::Setup;
use crate::wrong::Wrong;

/// The length of a step, unless the command line says otherwise.
pub const DEFAULT_TICK: Duration = Duration::from_secs(1);

/// A lesson, as the command line and the tour know it.
#[derive(Clone, Copy)]
pub struct About {
    /// Its place in the course.
    pub number: u32,
    /// The package's name.
    pub name: &'static str,
    /// What the lesson shows, in one line.
    pub title: &'static str,
    /// The transports it runs on.
    pub transports: &'static [Transport],
    /// The protocol revisions it runs on; the first is the one it takes unasked.
    pub protocols: &'static [Protocol],
    /// Hosts the lesson's server.
    pub host: fn(Setup, Site) -> BoxFuture<'static, anyhow::Result<()>>,
    /// Plays the lesson.
    pub story: Story,
    /// The parts of the story that can be played alone, if it has any.
    pub chapters: &'static [Chapter],
}

/// A story to play.
pub type Story = for<'a> fn(&'a Lesson) -> BoxFuture<'a, anyhow::Result<()>>;

/// A part of a lesson that can be played alone: `cargo run -p LESSON -- CHAPTER`.
#[derive(Clone, Copy)]
pub struct Chapter {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it shows, in one line.
    pub title: &'static str,
    /// Plays the chapter.
    pub story: Story,
}

/// What a story is played with: how to reach the server.
#[derive(Debug)]
pub struct Lesson {
    /// The transport in use.
    pub transport: Transport,
    /// The protocol revision in use.
    pub protocol: Protocol,
    /// The length of one step of the server's work.
    pub tick: Duration,
    /// What is wrong with the server, if it is wrong on purpose.
    pub wrong: Option<Wrong>,
    /// The options that a further process of this program is started with.
    pub(crate) options: Vec<OsString>,
    pub(crate) server: Server,
}

/// Where a story finds its server.
#[derive(Debug)]
pub(crate) enum Server {
    Url(String),
    Child,
}

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// Streamable HTTP.
    Http,
    /// Standard input and output of a child process.
    Stdio,
}

/// A revision of the Model Context Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Sessions, opened by `initialize`; a cancel is always a notification.
    #[value(name = "2025-11-25")]
    V2025,
    /// No sessions; on HTTP, closing the response stream is the cancel.
    #[value(name = "2026-07-28")]
    V2026,
}

impl Lesson {
    /// A lesson against a server that runs already, over HTTP.
    pub fn over_http(url: impl Into<String>, protocol: Protocol) -> Self {
        Self {
            transport: Transport::Http,
            protocol,
            tick: DEFAULT_TICK,
            wrong: None,
            options: Vec::new(),
            server: Server::Url(url.into()),
        }
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
        let version = match protocol {
            Protocol::V2025 => ProtocolVersion::V_2025_11_25,
            Protocol::V2026 => ProtocolVersion::V_2026_07_28,
        };
        match &self.server {
            Server::Url(url) => Client::http_as(capabilities, url, version).await,
            Server::Child => {
                let serve = self.program(&["serve", "--transport", "stdio"])?;
                Client::child_as(capabilities, serve, version).await
            }
        }
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
        match &self.server {
            Server::Url(url) => Ok(url),
            Server::Child => bail!("on stdio there is no URL"),
        }
    }

    /// Whether a cancellation is a message of its own, `notifications/cancelled`, with room
    /// for a reason. On HTTP 2026-07-28 it is not: there the closed stream is the cancel.
    pub fn cancels_by_message(&self) -> bool {
        (self.transport, self.protocol) != (Transport::Http, Protocol::V2026)
    }
}

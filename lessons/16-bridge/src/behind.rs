//! Puts a bridge between the story's client and its server.

use std::sync::Arc;

use anyhow::Context;
use course::lesson::Transport;
use course::stage::Stage;
use hosting::cancel::{CancelAware, LINGER};
use hosting::layer::Server;
use hosting::{Door, Site};
use rmcp::model::{ClientCapabilities, ProtocolVersion};
use rmcp::transport::TokioChildProcess;
use rmcp::transport::async_rw::AsyncRwTransport;
use shared::client::Client;
use shared::stop::Stop;
use tokio::io::{DuplexStream, ReadHalf, WriteHalf};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::relay::relay;
use crate::translate::Translate;
use crate::upstream::{self, Upstream};
use crate::wrong::{Fault, WrongBridge};

/// What stands between host and server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bridge {
    /// Nothing.
    None,
    /// A bridge that is wrong on purpose.
    Wrong(Fault),
    /// `relay.rs`.
    Relay,
    /// `translate.rs`.
    Translate,
}

/// A client, and the bridge that it talks to.
pub struct Front {
    /// The host's side.
    pub client: Client,
    stop: Stop,
}

impl Front {
    /// A client of the stage's server, behind this bridge.
    pub async fn new(stage: &Stage, bridge: Bridge) -> anyhow::Result<Self> {
        let (stop, version) = (Stop::default(), stage.protocol.version());
        let here = stage.pipe().is_some();
        let client = match bridge {
            Bridge::None => stage.connect().await?,
            // An HTTP server gets the real thing: this program in front of it, as hosts start it.
            Bridge::Relay | Bridge::Translate if !here && stage.transport == Transport::Http => {
                let mut program = Command::new(std::env::current_exe()?);
                match bridge {
                    Bridge::Relay => program.arg("--relay"),
                    _ => program.args(["--protocol", &stage.protocol.to_string()]),
                };
                program.arg(stage.url()?);
                Client::child_as(ClientCapabilities::default(), program, version).await?
            }
            Bridge::Relay => {
                let (near, far) = tokio::io::duplex(64 << 10);
                let host = CancelAware::silent(stdio(far));
                match stage.pipe() {
                    Some(pipe) => tokio::spawn(relay(host, client_of(pipe), stop.clone())),
                    None => tokio::spawn(relay(host, child(server_program(stage)?)?, stop.clone())),
                };
                Client::pipe_as(ClientCapabilities::default(), near, version).await?
            }
            // A stdio server gets HTTP in front of it.
            Bridge::Translate => {
                let server = Server::new(Translate::new(Arc::new(connect(stage).await?)));
                if here {
                    Self::piped(CancelAware::silent, server, &stop, version).await?
                } else {
                    let listener = TcpListener::bind("127.0.0.1:0").await?;
                    let url = format!("http://{}/mcp", listener.local_addr()?);
                    let site = Site::new(Door::Http(listener), stop.clone());
                    tokio::spawn(hosting::host(server, site));
                    Client::http(&url, version).await?
                }
            }
            Bridge::Wrong(fault) => {
                let mut others = Vec::new();
                while fault == Fault::Processes && others.len() < 2 {
                    others.push(connect(stage).await?);
                }
                let server = WrongBridge::new(fault, connect(stage).await?, others);
                let aware = match fault {
                    Fault::OwnAnswer => CancelAware::answering,
                    _ => CancelAware::silent,
                };
                Self::piped(aware, Server::new(server), &stop, version).await?
            }
        };
        Ok(Self { client, stop })
    }

    /// A client of a bridge that is in this process too.
    async fn piped(
        aware: fn(Pipe) -> CancelAware<Pipe>,
        server: Server,
        stop: &Stop,
        version: ProtocolVersion,
    ) -> anyhow::Result<Client> {
        let (near, far) = tokio::io::duplex(64 << 10);
        let transport = aware(stdio(far)).lingering(LINGER);
        tokio::spawn(hosting::serve_aware(server, transport, stop.clone()));
        Client::pipe_as(ClientCapabilities::default(), near, version).await
    }

    /// Ends the client and the bridge.
    pub async fn close(self) -> anyhow::Result<()> {
        self.client.close().await?;
        self.stop.now();
        Ok(())
    }
}

type Pipe = AsyncRwTransport<rmcp::RoleServer, ReadHalf<DuplexStream>, WriteHalf<DuplexStream>>;

fn stdio(pipe: DuplexStream) -> Pipe {
    let (input, output) = tokio::io::split(pipe);
    AsyncRwTransport::new_server(input, output)
}

fn client_of(
    pipe: DuplexStream,
) -> AsyncRwTransport<rmcp::RoleClient, ReadHalf<DuplexStream>, WriteHalf<DuplexStream>> {
    let (input, output) = tokio::io::split(pipe);
    AsyncRwTransport::new_client(input, output)
}

/// The bridge's own connection to the stage's server.
async fn connect(stage: &Stage) -> anyhow::Result<Upstream> {
    let version = Some(stage.protocol.version());
    match (stage.pipe(), stage.transport) {
        (Some(pipe), _) => Upstream::connect(client_of(pipe), version).await,
        (None, Transport::Http) => Upstream::connect(upstream::http(stage.url()?), version).await,
        (None, Transport::Stdio) => {
            Upstream::connect(child(server_program(stage)?)?, version).await
        }
    }
}

fn server_program(stage: &Stage) -> anyhow::Result<Command> {
    stage.program(&["serve", "--transport", "stdio"])
}

/// A server as a child process. It does not hear the terminal's Ctrl-C: the bridge ends it. At the
/// latest when it is dropped; rmcp kills it in a task, which a runtime that ends no longer runs.
pub fn child(mut command: Command) -> anyhow::Result<TokioChildProcess> {
    command.kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    let program = command.as_std().get_program().display().to_string();
    TokioChildProcess::new(command).with_context(|| format!("cannot start {program}"))
}

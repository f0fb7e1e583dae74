//! A server of a test's own, on a free port, for as long as the test holds it.

use std::time::Duration;

use hosting::between::Between;
use hosting::layer::Server;
use hosting::{Door, Site, host};
use rmcp::ServerHandler;
use shared::calls::Calls;
use shared::dataset::DataFolder;
use shared::server::{FileServer, Setup};
use shared::stop::Stop;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;

pub struct Hosted {
    /// Its MCP endpoint.
    pub url: String,
    /// Stops it, as does dropping this.
    pub stop: Stop,
    pub hosting: JoinHandle<anyhow::Result<()>>,
    _stop: DropGuard,
}

impl Hosted {
    /// Any server. What needs a [`Stop`] of its own takes it from `setup` and hands it on.
    pub async fn start(server: impl ServerHandler) -> Self {
        Self::host(Server::new(server), Stop::default(), Between::default()).await
    }

    /// A server that may have layers around it, with what stands between it and its clients.
    pub async fn host(server: Server, stop: Stop, between: Between) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let site = Site { between, ..Site::new(Door::Http(listener), stop.clone()) };
        let hosting = tokio::spawn(host(server, site));
        let guard = stop.token().clone().drop_guard();
        Self { url, stop, hosting, _stop: guard }
    }
}

/// The common server, over the sample files; `tick` in milliseconds.
pub async fn common_server(tick: u64) -> Hosted {
    Hosted::start(FileServer::new(setup(tick))).await
}

/// What a server needs: the sample files, an empty list of calls, and this tick in
/// milliseconds.
pub fn setup(tick: u64) -> Setup {
    let data = DataFolder::sample().unwrap();
    let tick = Duration::from_millis(tick);
    Setup { data, calls: Calls::default(), tick, stop: Stop::default() }
}

//! A server of a test's own, on a free port, for as long as the test holds it. The lessons'
//! tests have this file as a module.
#![allow(dead_code, reason = "each test uses its own part of this")]

use std::time::Duration;

use rmcp::ServerHandler;
use shared::calls::Calls;
use shared::dataset::DataFolder;
use shared::hosting::{Door, Site, host};
use shared::server::Setup;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub struct Hosted {
    /// Its MCP endpoint.
    pub url: String,
    /// Stops it, as does dropping this.
    pub shutdown: CancellationToken,
    pub hosting: JoinHandle<anyhow::Result<()>>,
    _stop: DropGuard,
}

impl Hosted {
    pub async fn start<S: ServerHandler + Clone>(server: S) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let site = Site { door: Door::Http(listener), wrong: None, shutdown: shutdown.clone() };
        let hosting = tokio::spawn(host(server, site));
        Self { url, shutdown: shutdown.clone(), hosting, _stop: shutdown.drop_guard() }
    }
}

/// What a server needs: the sample files, an empty list of calls, and this tick in
/// milliseconds.
pub fn setup(tick: u64) -> Setup {
    let data = DataFolder::sample().unwrap();
    Setup { data, calls: Calls::default(), tick: Duration::from_millis(tick) }
}

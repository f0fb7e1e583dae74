//! A server with its page.

use course::lesson::Protocol;
use hosting::layer::Server;
use hosting::{Door, Site, host};
use shared::calls::Calls;
use shared::server::FileServer;
use shared::stop::Stop;
use testing::hosted::setup;
use testing::raw::RawClient;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;
use wrong::Wrong;

/// It runs until this is dropped.
pub struct Paged {
    /// Host and port.
    pub address: String,
    pub http: reqwest::Client,
    pub calls: Calls,
    pub stop: Stop,
    pub hosting: JoinHandle<anyhow::Result<()>>,
    _stop: DropGuard,
}

impl Paged {
    /// A server whose steps take so many milliseconds.
    pub async fn start(tick: u64) -> Self {
        Self::start_wrong(None, tick).await
    }

    /// The same, with something wrong with its tools.
    pub async fn start_wrong(wrong: Option<Wrong>, tick: u64) -> Self {
        let setup = setup(tick);
        let (calls, stop) = (setup.calls.clone(), setup.stop.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let beside = page::routes(
            "basic-cancel",
            "cargo run -p basic-cancel -- client",
            calls.clone(),
            stop.clone(),
        );
        let (server, _) = Wrong::apply(wrong, Server::new(FileServer::new(setup)));
        let site = Site { beside, ..Site::new(Door::Http(listener), stop.clone()) };
        let hosting = tokio::spawn(host(server, site));
        let guard = stop.token().clone().drop_guard();
        let http = reqwest::Client::new();
        Self { address, http, calls, stop, hosting, _stop: guard }
    }

    pub async fn client(&self, protocol: Protocol) -> RawClient {
        RawClient::open(&format!("http://{}/mcp", self.address), protocol).await
    }
}

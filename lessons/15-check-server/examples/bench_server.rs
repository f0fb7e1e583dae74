//! The server of `mcp-cancel-check bench --peers`: the probe, hosted as the lessons' servers are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use hosting::layer::Server;
use hosting::{Door, Site};
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::ProgressNotificationParam;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, schemars, tool, tool_router};
use shared::stop::Stop;
use tokio::net::TcpListener;

#[derive(Clone, Default)]
struct Probe(Arc<Mutex<HashMap<String, Run>>>);

#[derive(Clone, Default, serde::Serialize)]
struct Run {
    running: bool,
    ticks: u64,
    cancelled: bool,
    /// Seconds since 1970.
    stopped_at: Option<f64>,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct ProbeArgs {
    id: String,
    steps: Option<u64>,
    step_ms: Option<u64>,
    ask: Option<bool>,
}

impl Probe {
    fn runs(&self) -> MutexGuard<'_, HashMap<String, Run>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tool_router(server_handler)]
impl Probe {
    /// Counts ticks until it is cancelled; asked, it tells how far a count has come.
    #[tool]
    async fn cancel_probe(
        &self,
        Parameters(args): Parameters<ProbeArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> String {
        let told = |run: Option<&Run>| {
            run.and_then(|run| serde_json::to_string(run).ok()).unwrap_or_else(|| "{}".to_owned())
        };
        if args.ask.unwrap_or(false) {
            return told(self.runs().get(&args.id));
        }
        let steps = args.steps.unwrap_or(200);
        let step = Duration::from_millis(args.step_ms.unwrap_or(50));
        let mut run = Run { running: true, ..Run::default() };
        self.runs().insert(args.id.clone(), run.clone());
        if let Some(token) = ctx.meta.get_progress_token() {
            let progress = ProgressNotificationParam::new(token, 0.0).with_total(steps as f64);
            tokio::select! {
                () = ctx.ct.cancelled() => {}
                _ = ctx.peer.notify_progress(progress) => {}
            }
        }
        while run.ticks < steps && !run.cancelled {
            tokio::select! {
                () = ctx.ct.cancelled() => run.cancelled = true,
                () = tokio::time::sleep(step) => {
                    run.ticks += 1;
                    self.runs().insert(args.id.clone(), run.clone());
                }
            }
        }
        run.running = false;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        run.stopped_at = now.ok().map(|now| now.as_secs_f64());
        self.runs().insert(args.id, run.clone());
        told(Some(&run))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}/mcp {}", listener.local_addr()?, env!("CARGO_PKG_VERSION"));
    let site = Site::new(Door::Http(listener), Stop::default());
    Ok(hosting::host(Server::new(Probe::default()), site).await?)
}

//! The probe for rmcp. Paste what stands between the lines into your server.

use rmcp::handler::server::wrapper::Parameters;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServiceExt, schemars, tool, tool_router};

// ---- probe
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[derive(Clone, Default)]
struct Probe {
    runs: Arc<Mutex<HashMap<String, Run>>>,
}

#[derive(Clone, Default, serde::Serialize)]
struct Run {
    running: bool,
    ticks: u64,
    cancelled: bool,
    reason: Option<String>,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct ProbeArgs {
    id: String,
    steps: Option<u64>,
    step_ms: Option<u64>,
    ask: Option<bool>,
}

impl Probe {
    fn note(&self, id: &str, run: &Run) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.insert(id.to_owned(), run.clone());
    }

    fn told(&self, id: &str) -> String {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let told = runs.get(id).map_or(Ok("{}".to_owned()), serde_json::to_string);
        told.unwrap_or_default()
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
        if args.ask.unwrap_or(false) {
            return self.told(&args.id);
        }
        let mut run = Run { running: true, ..Run::default() };
        while run.ticks < args.steps.unwrap_or(200) && !run.cancelled {
            self.note(&args.id, &run);
            tokio::select! {
                () = ctx.ct.cancelled() => run.cancelled = true,
                () = tokio::time::sleep(Duration::from_millis(args.step_ms.unwrap_or(50))) => {
                    run.ticks += 1;
                }
            }
        }
        run.running = false;
        self.note(&args.id, &run);
        self.told(&args.id)
    }
}
// ---- end

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Probe::default().serve(rmcp::transport::stdio()).await?.waiting().await?;
    Ok(())
}

//! This lesson's server: the common one, and two tools that give an operator trouble.

use std::time::Duration;

use anyhow::anyhow;
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use shared::calls::CallList;
use shared::server::{Caller, FileServer, ProcessArgs, Setup};
use tokio::time::sleep;

/// How long a step takes at least: a call that is to be stopped must not be done before.
const MIN_STEP: Duration = Duration::from_millis(10);

/// The server.
#[derive(Debug, Clone)]
pub struct OperatedServer {
    setup: Setup,
    files: FileServer,
}

#[tool_router(server_handler)]
impl OperatedServer {
    /// A server over these files, writing into these calls.
    pub fn new(mut setup: Setup) -> Self {
        setup.tick = setup.tick.max(MIN_STEP);
        Self { files: FileServer::new(setup.clone()), setup }
    }

    /// Reads a CSV file in `processing_time` steps. Can be cancelled at any time.
    #[tool(
        title = "Process a large file",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn process_large_file(
        &self,
        args: Parameters<ProcessArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, String> {
        self.files.process_large_file(args, ctx).await
    }

    /// Works for an hour, and never looks at its token.
    #[tool(
        title = "Work without listening",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn deaf(&self, ctx: RequestContext<RoleServer>) -> Result<String, String> {
        let call = self.setup.calls.start("deaf", 3600, &ctx);
        for step in 1..=3600 {
            // The bug: no `select!` on `ctx.ct` here.
            ctx.report(step, 3600, "not listening".to_owned()).await;
            sleep(Duration::from_secs(1)).await;
            call.step_done();
        }
        call.finish(Ok(Some("done".to_owned())))
    }

    /// Fails at once.
    #[tool(title = "Fail at once", annotations(read_only_hint = true, open_world_hint = false))]
    async fn fail(&self, ctx: RequestContext<RoleServer>) -> Result<String, String> {
        let call = self.setup.calls.start("fail", 1, &ctx);
        call.finish(Err(anyhow!("this tool fails, and that is all it does")))
    }

    /// Lists the calls this server runs and has run, newest last.
    #[tool(title = "List the calls", annotations(read_only_hint = true, open_world_hint = false))]
    async fn list_calls(&self) -> Json<CallList> {
        Json(self.setup.calls.list())
    }
}

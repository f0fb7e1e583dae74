//! What happens around every tool call, so that no tool has to think of it.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelTaskParams, CancelledNotificationParam,
    CustomRequest, CustomResult, GetTaskParams, GetTaskResult, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerConfig, Tool, UpdateTaskParams,
};
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a tool may take to clean up when the server stops.
const GRACE: Duration = Duration::from_secs(1);

/// A server whose every call is answered: when the tool is unknown, when it panics (rmcp
/// would leave the caller waiting), and when the server stops under it.
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    server: S,
    shutdown: CancellationToken,
    running: TaskTracker,
}

impl<S> Guarded<S> {
    /// Guards the server until `shutdown`; `running` counts the calls at work.
    pub fn new(server: S, shutdown: CancellationToken, running: TaskTracker) -> Self {
        Self { server, shutdown, running }
    }
}

impl<S: ServerHandler> ServerHandler for Guarded<S> {
    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        mut ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let _running = self.running.token();
        let name = request.name.clone();
        if self.server.get_tool(&name).is_none() {
            let tools = self.server.list_tools(None, ctx).await?.tools;
            let known: Vec<_> = tools.iter().map(|tool| &*tool.name).collect();
            let message = format!("unknown tool {name:?}; this server has: {}", known.join(", "));
            return Err(ErrorData::invalid_params(message, None));
        }
        // A child of rmcp's token: it fires when the client cancels, and can be fired
        // for this call alone when the server stops.
        ctx.ct = ctx.ct.child_token();
        let stop = ctx.ct.clone();
        let call = AssertUnwindSafe(self.server.call_tool(request, ctx)).catch_unwind();
        tokio::pin!(call);
        tokio::select! {
            answer = &mut call => answer.unwrap_or_else(|_| {
                Err(ErrorData::internal_error(format!("the tool {name} panicked"), None))
            }),
            () = self.shutdown.cancelled() => {
                stop.cancel();
                let _ = timeout(GRACE, call).await;
                Err(ErrorData::internal_error("the server is shutting down", None))
            }
        }
    }

    fn get_info(&self) -> ServerConfig {
        let me = Implementation::new("mcp-cancellation-lessons", env!("CARGO_PKG_VERSION"));
        self.server.get_info().with_server_info(me)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.server.get_tool(name)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        self.server.list_tools(request, ctx).await
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        self.server.get_task(request, ctx).await
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.server.update_task(request, ctx).await
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.server.cancel_task(request, ctx).await
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        ctx: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        self.server.on_custom_request(request, ctx).await
    }

    async fn on_cancelled(
        &self,
        cancelled: CancelledNotificationParam,
        ctx: NotificationContext<RoleServer>,
    ) {
        self.server.on_cancelled(cancelled, ctx).await;
    }
}

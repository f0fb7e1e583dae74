//! What happens around every tool call, so that no tool has to think of it.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use rmcp::model::{CallToolRequestParams, CallToolResponse, Implementation, ServerConfig};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::time::timeout;

use crate::hosting::Stop;
use crate::layer::{Layer, Server};

/// How long a caller waits for a tool that cleans up while the server stops.
const GRACE: Duration = Duration::from_secs(1);

/// Answers every call: when the tool is unknown, when it panics (rmcp would leave the caller
/// waiting), and when the server stops under it.
#[derive(Debug)]
pub struct Guard {
    stop: Stop,
}

impl Guard {
    /// Guards a server until it is told to stop.
    pub fn new(stop: Stop) -> Self {
        Self { stop }
    }
}

impl Layer for Guard {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        self.guard(next.clone(), request, ctx).boxed()
    }

    fn get_info(&self, next: &Server) -> ServerConfig {
        let me = Implementation::new("mcp-cancellation-lessons", env!("CARGO_PKG_VERSION"));
        next.get_info().with_server_info(me)
    }
}

impl Guard {
    async fn guard(
        &self,
        next: Server,
        request: CallToolRequestParams,
        mut ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let running = self.stop.running();
        let name = request.name.clone();
        if next.get_tool(&name).is_none() {
            let tools = next.list_tools(None, ctx).await?.tools;
            let known: Vec<_> = tools.iter().map(|tool| &*tool.name).collect();
            let message = format!("unknown tool {name:?}; this server has: {}", known.join(", "));
            return Err(ErrorData::invalid_params(message, None));
        }
        // A child of rmcp's token: it fires when the client cancels, and can be fired
        // for this call alone when the server stops.
        ctx.ct = ctx.ct.child_token();
        let cancel = ctx.ct.clone();
        let mut call = async move {
            let answer = AssertUnwindSafe(next.call_tool(request, ctx)).catch_unwind().await;
            drop(running);
            answer
        }
        .boxed();
        let answer = tokio::select! {
            // A result that is there is given, even if the server stops at that moment.
            biased;
            answer = &mut call => answer,
            () = self.stop.requested() => {
                cancel.cancel();
                // The caller waits for a while. The tool may take longer to clean up, so it is
                // not dropped: it goes on for as long as the process does.
                if timeout(GRACE, &mut call).await.is_err() {
                    tokio::spawn(call);
                }
                return Err(ErrorData::internal_error("the server is shutting down", None));
            }
        };
        answer.unwrap_or_else(|_| {
            Err(ErrorData::internal_error(format!("the tool {name} panicked"), None))
        })
    }
}

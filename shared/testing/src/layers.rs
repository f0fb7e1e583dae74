//! What tests put around a server.

use futures::future::BoxFuture;
use hosting::layer::{Layer, Server};
use rmcp::model::{CallToolRequestParams, CallToolResponse};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};

/// Puts one tool in the place of another.
pub struct Swap(pub &'static str, pub &'static str);

impl Layer for Swap {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        mut request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        if request.name == self.0 {
            request.name = self.1.into();
        }
        Box::pin(next.call_tool(request, ctx))
    }
}

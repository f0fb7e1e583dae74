//! Which calls run here, and what their records say: a layer around the tools.

use std::sync::Arc;

use axum::http::request::Parts;
use futures::FutureExt;
use futures::future::BoxFuture;
use hosting::layer::{Layer, Server};
use rmcp::model::{CallToolRequestParams, CallToolResponse};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};

use crate::sessions::Sessions;
use crate::store::CallName;

/// Stands around the tools: knows which calls of sessions run here, and watches their records.
pub struct Watched(pub Arc<Sessions>);

impl Layer for Watched {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        let Some(call) = name_of(&ctx) else {
            // 2026-07-28 has no sessions: the closed stream ends at the replica that runs the call.
            return next.call_tool(request, ctx).boxed();
        };
        async move {
            let _running = self.0.enter(&call);
            tokio::select! {
                answer = next.call_tool(request, ctx) => answer,
                never = self.0.watch(&call) => match never {},
            }
        }
        .boxed()
    }
}

fn name_of(ctx: &RequestContext<RoleServer>) -> Option<CallName> {
    let session = ctx.extensions.get::<Parts>()?.headers.get("mcp-session-id")?;
    Some(CallName { session: session.to_str().ok()?.to_owned(), id: ctx.id.clone() })
}

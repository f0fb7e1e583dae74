//! Bridges that are wrong on purpose, in ways that were found in real ones.
//!
//! This is `translate.rs` with a mistake. `docs/src/bridges.md` says which bridge makes which.

use std::sync::Arc;

use hosting::cancel::REQUEST_CANCELLED;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResponse, CancelledNotificationParam,
    ClientRequest, ErrorData, GetExtensions, ProgressNotificationParam, ProgressToken, RequestId,
    ServerCapabilities, ServerConfig, ServerResult, Tool,
};
use rmcp::service::{PeerRequestOptions, RequestContext, RequestHandle};
use rmcp::{RoleClient, RoleServer, ServerHandler};

use crate::upstream::{Upstream, Wire};

/// What is wrong with a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Gives each call a new id, and passes the cancel on with the old one.
    NewIds,
    /// Answers the cancel by itself, and does not tell the server.
    OwnAnswer,
    /// Uses a process for each request: the cancel meets another one than its call.
    Processes,
    /// Makes a text of the number that is the progress token.
    TextToken,
    /// Passes no progress on.
    LostToken,
}

/// A bridge with a fault.
pub struct WrongBridge {
    fault: Fault,
    upstream: Arc<Upstream>,
    /// Where the call and the cancel go, if each request has a process of its own.
    others: Vec<Upstream>,
}

impl WrongBridge {
    /// A bridge to this server. `Processes` needs two more connections.
    pub fn new(fault: Fault, upstream: Upstream, others: Vec<Upstream>) -> Self {
        Self { fault, upstream: Arc::new(upstream), others }
    }

    async fn tell(&self, ctx: &RequestContext<RoleServer>, mut news: ProgressNotificationParam) {
        let Some(token) = ctx.meta.get_progress_token() else { return };
        news.progress_token = match self.fault {
            Fault::LostToken => return,
            Fault::TextToken => ProgressToken(RequestId::String(token.0.to_string().into())),
            _ => token,
        };
        let _ = ctx.peer.notify_progress(news).await;
    }

    /// What this bridge does about a cancel.
    async fn cancel(
        &self,
        mut handle: RequestHandle<RoleClient>,
        ctx: &RequestContext<RoleServer>,
    ) -> Result<ServerResult, ErrorData> {
        let cancelled = ErrorData::new(REQUEST_CANCELLED, "Request cancelled", None);
        let with_the_hosts_id = CancelledNotificationParam::new(Some(ctx.id.clone()), None);
        match self.fault {
            Fault::NewIds => {
                let _ = self.upstream.peer().notify_cancelled(with_the_hosts_id).await;
            }
            Fault::Processes => {
                if let Some(another) = self.others.get(1) {
                    let _ = another.peer().notify_cancelled(with_the_hosts_id).await;
                }
            }
            Fault::OwnAnswer => return Err(cancelled),
            Fault::TextToken | Fault::LostToken => {
                let _ = handle.cancel(None).await;
                return Err(cancelled);
            }
        }
        (&mut handle.rx).await.map_err(|_| cancelled)?.map_err(lost)
    }
}

fn lost(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

impl ServerHandler for WrongBridge {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        Some(Tool::new(name.to_owned(), "", Arc::default()))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let work = call.name == "process_large_file";
        let upstream = self.others.first().filter(|_| work).unwrap_or(&self.upstream);
        if self.fault == Fault::NewIds {
            // So that the new id is not by chance the old one.
            upstream.peer().list_tools(None).await.map_err(lost)?;
        }
        let (wire, mut progress) = Wire::new();
        let mut request = ClientRequest::CallToolRequest(CallToolRequest::new(call));
        request.extensions_mut().insert(wire);
        let sending = PeerRequestOptions::no_options();
        let sending = upstream.peer().send_cancellable_request(request, sending);
        let mut handle = sending.await.map_err(lost)?;
        let answer = loop {
            tokio::select! {
                biased;
                () = ctx.ct.cancelled() => break self.cancel(handle, &ctx).await?,
                Some(news) = progress.recv() => self.tell(&ctx, news).await,
                answer = &mut handle.rx => break answer.map_err(lost)?.map_err(lost)?,
            }
        };
        match answer {
            ServerResult::CallToolResult(result) => Ok(CallToolResponse::Complete(result)),
            other => Err(lost(format!("not the result of a tool: {other:?}"))),
        }
    }
}

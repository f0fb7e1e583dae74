//! A bridge that translates: a server towards its hosts, a client towards one server.
//!
//! Each side has ids and progress tokens of its own, and may speak another revision. So four
//! things have to be translated for each call: its id, its progress, its cancel and its answer.
//! The id needs no table: the call of `Translate::pass` *is* the entry. It holds the host's
//! request (`ctx`) and the server's (`handle`), and it ends when the call ends.

use std::convert::identity;
use std::sync::Arc;
use std::time::Duration;

use hosting::cancel::REQUEST_CANCELLED;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResponse, CancelledNotificationParam,
    ClientRequest, CompleteRequest, CompleteRequestParams, CompleteResult, CustomRequest,
    CustomResult, ErrorData, GetExtensions, GetMeta, GetPromptRequest, GetPromptRequestParams,
    GetPromptResponse, Implementation, ListPromptsRequest, ListPromptsResult,
    ListResourceTemplatesRequest, ListResourceTemplatesResult, ListResourcesRequest,
    ListResourcesResult, ListToolsRequest, ListToolsResult, PaginatedRequestParams,
    ProgressNotificationParam, PromptsCapability, ReadResourceRequest, ReadResourceRequestParams,
    ReadResourceResponse, RequestId, RequestMetaObject, ResourcesCapability, ServerCapabilities,
    ServerConfig, ServerResult, Tool, ToolsCapability,
};
use rmcp::service::{Peer, PeerRequestOptions, RequestContext, ServiceError};
use rmcp::{RoleClient, RoleServer, ServerHandler};
use shared::note::CallNote;
use tokio::time::{sleep, timeout};

use crate::upstream::{Upstream, Wire};

/// How long a cancel waits for its call to be sent. A server that answers without a stream
/// begins its response with the answer, and a cancel must not wait for that. A cancel that has
/// waited in vain is repeated after as long again: it may have come before its call.
pub(crate) const OVERTAKE: Duration = Duration::from_secs(1);

/// The bridge. Clones share the connection to the server.
#[derive(Clone)]
pub struct Translate {
    upstream: Arc<Upstream>,
}

impl Translate {
    /// A bridge to this server.
    pub fn new(upstream: Arc<Upstream>) -> Self {
        Self { upstream }
    }

    /// Passes a request on, and what comes back. The heart of the bridge.
    async fn pass(
        &self,
        request: impl Into<ClientRequest>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<ServerResult, ErrorData> {
        // 1. The request. rmcp gives it a new id and a new progress token: two hosts may use the
        //    same ones.
        let mut request = request.into();
        let (wire, mut progress) = Wire::new();
        request.extensions_mut().insert(wire.clone());
        *request.get_meta_mut() = passed_on(&ctx.meta);
        let sending = PeerRequestOptions::no_options();
        let sending = self.upstream.peer().send_cancellable_request(request, sending);
        let mut handle = sending.await.map_err(in_words)?;

        loop {
            tokio::select! {
                biased;
                // 2. The cancel. `ct` has fired: by a notification, a closed stream, the end of
                //    the host or of this bridge. `cancel` says it as the server's side demands:
                //    `notifications/cancelled` with *its* id, or a closed stream. It waits until
                //    the call has been sent, for a cancel that overtakes its call names nothing.
                () = ctx.ct.cancelled() => {
                    let sent = timeout(OVERTAKE, wire.sent.cancelled()).await;
                    let reason = ctx.extensions.get::<CallNote>().and_then(CallNote::reason);
                    let reason = reason.map(str::to_owned);
                    if sent.is_err() {
                        tokio::spawn(again(handle.peer.clone(), handle.id.clone(), reason.clone()));
                    }
                    let _ = handle.cancel(reason).await;
                    // The host is told on its side's terms: silence, -32800 or a closed stream.
                    // That is `shared/hosting/src/cancel.rs`, as for any server.
                    return Err(ErrorData::new(REQUEST_CANCELLED, "Request cancelled", None));
                }
                // 3. Progress, under the token that the host gave. It comes before the answer.
                Some(news) = progress.recv() => tokio::select! {
                    biased;
                    () = ctx.ct.cancelled() => {}
                    () = tell(&ctx, news) => {}
                },
                // 4. The answer. rmcp puts the host's id on it.
                answer = &mut handle.rx => {
                    return answer.unwrap_or(Err(ServiceError::TransportClosed)).map_err(in_words);
                }
                () = self.upstream.open().gone() => {
                    return Err(in_words(ServiceError::TransportClosed));
                }
            }
        }
    }
}

/// Repeats a cancel. A server that knows the call no more ignores it.
async fn again(server: Peer<RoleClient>, id: RequestId, reason: Option<String>) {
    sleep(OVERTAKE).await;
    let _ = server.notify_cancelled(CancelledNotificationParam::new(Some(id), reason)).await;
}

/// What the host says about its request, without what concerns its own connection only.
fn passed_on(meta: &RequestMetaObject) -> RequestMetaObject {
    let mut meta = meta.clone();
    meta.0
        .0
        .retain(|key, _| key != "progressToken" && !key.starts_with("io.modelcontextprotocol/"));
    meta
}

async fn tell(ctx: &RequestContext<RoleServer>, mut news: ProgressNotificationParam) {
    if let Some(token) = ctx.meta.get_progress_token() {
        news.progress_token = token;
        // A host that is gone is told by `ct`, not by this error.
        let _ = ctx.peer.notify_progress(news).await;
    }
}

/// Why there is no answer, for the host.
fn in_words(error: ServiceError) -> ErrorData {
    match error {
        ServiceError::McpError(error) => error,
        ServiceError::TransportClosed => {
            ErrorData::internal_error("the server behind the bridge is gone", None)
        }
        other => {
            let why = format!("the bridge did not reach the server: {other}");
            ErrorData::internal_error(why, None)
        }
    }
}

fn unexpected(answer: &ServerResult) -> ErrorData {
    ErrorData::internal_error(format!("the server's answer has the wrong type: {answer:?}"), None)
}

/// Takes the answer of the expected type out of the union.
macro_rules! expect {
    ($answer:expr, $($variant:ident => $output:expr),+) => {
        match $answer.await? {
            $(ServerResult::$variant(result) => Ok($output(result)),)+
            other => Err(unexpected(&other)),
        }
    };
}

type Ctx = RequestContext<RoleServer>;
type Page = Option<PaginatedRequestParams>;
type Answer<T> = Result<T, ErrorData>;

/// A list request with the host's page.
macro_rules! list {
    ($request:ident, $page:expr) => {{
        let mut request = $request::default();
        request.params = $page;
        ClientRequest::$request(request)
    }};
}

impl ServerHandler for Translate {
    /// The server's own, without what this bridge does not carry: what the server says or asks
    /// by itself (subscriptions, changed lists, logging, sampling, elicitation, tasks).
    fn get_info(&self) -> ServerConfig {
        let Some(server) = self.upstream.peer().peer_info() else { return ServerConfig::default() };
        let mut can = ServerCapabilities::default();
        can.completions.clone_from(&server.capabilities.completions);
        can.tools = server.capabilities.tools.as_ref().map(|_| ToolsCapability::default());
        can.prompts = server.capabilities.prompts.as_ref().map(|_| PromptsCapability::default());
        can.resources =
            server.capabilities.resources.as_ref().map(|_| ResourcesCapability::default());
        let me = Implementation::new("mcp-bridge", env!("CARGO_PKG_VERSION"));
        let mut info = ServerConfig::new(can).with_server_info(me);
        info.instructions.clone_from(&server.instructions);
        info
    }

    /// The server knows its tools. Here every name passes.
    fn get_tool(&self, name: &str) -> Option<Tool> {
        Some(Tool::new(name.to_owned(), "", Arc::default()))
    }

    async fn call_tool(&self, call: CallToolRequestParams, ctx: Ctx) -> Answer<CallToolResponse> {
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(call));
        expect!(self.pass(request, ctx), CallToolResult => CallToolResponse::Complete,
            InputRequiredResult => CallToolResponse::InputRequired)
    }

    async fn list_tools(&self, page: Page, ctx: Ctx) -> Answer<ListToolsResult> {
        expect!(self.pass(list!(ListToolsRequest, page), ctx), ListToolsResult => identity)
    }

    async fn list_prompts(&self, page: Page, ctx: Ctx) -> Answer<ListPromptsResult> {
        expect!(self.pass(list!(ListPromptsRequest, page), ctx), ListPromptsResult => identity)
    }

    async fn get_prompt(&self, get: GetPromptRequestParams, ctx: Ctx) -> Answer<GetPromptResponse> {
        let request = ClientRequest::GetPromptRequest(GetPromptRequest::new(get));
        expect!(self.pass(request, ctx), GetPromptResult => GetPromptResponse::Complete,
            InputRequiredResult => GetPromptResponse::InputRequired)
    }

    async fn list_resources(&self, page: Page, ctx: Ctx) -> Answer<ListResourcesResult> {
        let request = list!(ListResourcesRequest, page);
        expect!(self.pass(request, ctx), ListResourcesResult => identity)
    }

    async fn list_resource_templates(
        &self,
        page: Page,
        ctx: Ctx,
    ) -> Answer<ListResourceTemplatesResult> {
        let request = list!(ListResourceTemplatesRequest, page);
        expect!(self.pass(request, ctx), ListResourceTemplatesResult => identity)
    }

    async fn read_resource(
        &self,
        read: ReadResourceRequestParams,
        ctx: Ctx,
    ) -> Answer<ReadResourceResponse> {
        let request = ClientRequest::ReadResourceRequest(ReadResourceRequest::new(read));
        expect!(self.pass(request, ctx), ReadResourceResult => ReadResourceResponse::Complete,
            InputRequiredResult => ReadResourceResponse::InputRequired)
    }

    async fn complete(&self, what: CompleteRequestParams, ctx: Ctx) -> Answer<CompleteResult> {
        let request = ClientRequest::CompleteRequest(CompleteRequest::new(what));
        expect!(self.pass(request, ctx), CompleteResult => identity)
    }

    async fn on_custom_request(&self, request: CustomRequest, ctx: Ctx) -> Answer<CustomResult> {
        let request = ClientRequest::CustomRequest(request);
        expect!(self.pass(request, ctx), CustomResult => identity)
    }
}

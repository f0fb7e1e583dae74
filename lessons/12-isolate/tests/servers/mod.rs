//! Servers on which the attacks succeed.

pub mod pipe;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use futures::FutureExt;
use futures::future::BoxFuture;
use hosting::between::Between;
use hosting::guard::Limits;
use hosting::layer::{Layer, Server};
use hosting::{Door, Site, host_with};
use rmcp::model::{CallToolRequestParams, CallToolResponse, CancelTaskParams, RequestId};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use shared::stop::Stop;
use tasks::tools::TaskServer;
use tasks_extension::store;
use testing::hosted::setup;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use wrong::Wrong;

const MANY: usize = 1 << 20;

/// A server, until this is dropped.
pub struct Running {
    pub url: String,
    _end: DropGuard,
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    (listener, url)
}

fn tasks() -> Server {
    Server::new(TaskServer::new(setup(1000), store::Limits::default()).unwrap())
}

async fn hosted(server: Server, between: Between, limits: Limits) -> Running {
    let ((listener, url), stop) = (listen().await, Stop::default());
    let end = stop.token().clone().drop_guard();
    let site = Site { between, ..Site::new(Door::Http(listener), stop) };
    tokio::spawn(host_with(server, site, limits));
    Running { url, _end: end }
}

/// Stops the call it was told to stop, and the others too.
pub async fn clumsy() -> Running {
    hosted(Wrong::Clumsy.tools(tasks()), Between::default(), Limits::default()).await
}

/// Answers no call after a cancel.
pub async fn stuck() -> Running {
    hosted(Wrong::Stuck.tools(tasks()), Between::default(), Limits::default()).await
}

/// Takes all that comes.
pub async fn without_limits() -> Running {
    let of_tasks = store::Limits { tasks: MANY, ..store::Limits::default() };
    let server = Server::new(TaskServer::new(setup(1000), of_tasks).unwrap());
    let body = Limits::default().body;
    let limits = Limits { calls: MANY, calls_per_session: MANY, sessions: MANY, body };
    hosted(server, Between::default(), limits).await
}

/// Has a session for the victim, and none for anybody else.
pub async fn full() -> Running {
    let limits = Limits { sessions: 1, ..Limits::default() };
    hosted(tasks(), Between::default(), limits).await
}

/// rmcp's service alone, opened wide: what a server is without our hosting.
pub async fn bare() -> Running {
    let ((listener, url), server, end) = (listen().await, tasks(), CancellationToken::new());
    let config = StreamableHttpServerConfig::default()
        .with_max_request_body_bytes(64 << 20)
        .disable_allowed_hosts();
    let sessions = Arc::new(LocalSessionManager::default());
    let mcp = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
    let serving = axum::serve(listener, Router::new().route_service("/mcp", mcp));
    let ended = end.clone().cancelled_owned();
    tokio::spawn(async move {
        tokio::select! { it = serving => it, () = ended => Ok(()) }
    });
    Running { url, _end: end.drop_guard() }
}

/// Knows calls by their id alone, whoever has them; believes each cancel, also one that comes
/// too early; takes the beginning of a session id for the whole, and any task id for a known one.
pub async fn naive() -> Running {
    let between = Between::default().around_routes(believe);
    hosted(tasks().with(Naive), between, Limits::default()).await
}

/// Keeps reasons as they come.
pub async fn hoarder() -> Running {
    hosted(tasks().with(Hoarder), Between::default(), Limits::default()).await
}

struct Hoarder;

impl Layer for Hoarder {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        async move {
            let lists = request.name == "list_calls";
            let mut answer = next.call_tool(request, ctx).await?;
            if let (true, CallToolResponse::Complete(list)) = (lists, &mut answer) {
                let calls = &mut list.structured_content.as_mut().unwrap()["calls"];
                let calls = calls.as_array_mut().unwrap().iter_mut();
                for call in calls.filter(|call| call["reason"].is_string()) {
                    call["reason"] = json!("\u{1b}[2J".repeat(1000));
                }
            }
            Ok(answer)
        }
        .boxed()
    }
}

struct Naive;

/// What a naive server knows. Each has a `Host` of its own.
#[derive(Default)]
struct Memory {
    calls: HashMap<String, Vec<CancellationToken>>,
    cancelled: HashSet<String>,
    sessions: Vec<String>,
}

static MEMORY: LazyLock<Mutex<HashMap<String, Memory>>> = LazyLock::new(Mutex::default);

fn remember<T>(headers: &HeaderMap, use_it: impl FnOnce(&mut Memory) -> T) -> T {
    let host = headers["host"].to_str().unwrap().to_owned();
    use_it(MEMORY.lock().unwrap().entry(host).or_default())
}

/// 7 and "7" are alike to it.
fn text(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

fn believe(routes: Router) -> Router {
    routes.layer(from_fn(async |mut request: Request, next: Next| -> Response {
        let given = request.headers().get("mcp-session-id").cloned();
        if let Some(given) = given.as_ref().and_then(|given| given.to_str().ok()) {
            let known = remember(request.headers(), |memory| {
                memory.sessions.iter().find(|known| known.starts_with(given)).cloned()
            });
            if let Some(known) = known {
                request.headers_mut().insert("mcp-session-id", known.parse().unwrap());
            }
        }
        let (mut head, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        if message["method"] == "notifications/cancelled" {
            let id = text(&message["params"]["requestId"]);
            if id == "initialize" {
                head.method = Method::DELETE;
            }
            remember(&head.headers, |memory| {
                memory
                    .calls
                    .remove(&id)
                    .unwrap_or_default()
                    .iter()
                    .for_each(CancellationToken::cancel);
                memory.cancelled.insert(id);
            });
        }
        let headers = head.headers.clone();
        let response = next.run(Request::from_parts(head, Body::from(body))).await;
        if let Some(session) = response.headers().get("mcp-session-id") {
            let session = session.to_str().unwrap().to_owned();
            remember(&headers, |memory| memory.sessions.push(session));
        }
        response
    }))
}

impl Layer for Naive {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        request: CallToolRequestParams,
        mut ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        async move {
            let id = match &ctx.id {
                RequestId::Number(number) => number.to_string(),
                RequestId::String(text) => text.to_string(),
            };
            ctx.ct = ctx.ct.child_token();
            let (stop, headers) = (ctx.ct.clone(), &ctx.extensions.get::<Parts>().unwrap().headers);
            remember(headers, |memory| {
                if memory.cancelled.contains(&id) {
                    stop.cancel();
                }
                memory.calls.entry(id).or_default().push(stop);
            });
            next.call_tool(request, ctx).await
        }
        .boxed()
    }

    fn cancel_task<'a>(
        &'a self,
        _: &'a Server,
        _: CancelTaskParams,
        _: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<(), ErrorData>> {
        async { Ok(()) }.boxed()
    }
}

//! One replica: the server of lesson 1, with sessions and tasks that it shares with others.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream::BoxStream;
use hosting::guard::{Guard, Limits};
use hosting::http;
use hosting::layer::Server;
use rmcp::transport::streamable_http_server::session::{
    SessionState, SessionStore, SessionStoreError,
};
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use shared::calls::Calls;
use shared::dataset::DataFolder;
use shared::server::{FileServer, Setup};
use shared::stop::Stop;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::flaw::{Flaw, Flawed};
use crate::sessions::Sessions;
use crate::store::{Bell, Store};
use crate::tasks::{InTasks, Tasks};
use crate::watched::Watched;

/// How a replica works.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// The length of one step of work.
    pub tick: Duration,
    /// How long a task is its owner's without a beat.
    pub lease: Duration,
    /// What is wrong with it, if it is wrong on purpose.
    pub flaw: Option<Flaw>,
}

/// Serves until it is told to stop.
pub async fn serve(
    listener: TcpListener,
    store: Arc<dyn Store>,
    manner: Manner,
    stop: Stop,
) -> anyhow::Result<()> {
    let Manner { tick, lease, flaw } = manner;
    let store: Arc<dyn Store> = match flaw {
        Some(flaw) => Arc::new(Flawed::new(store, flaw)),
        None => store,
    };
    let sessions = Arc::new(Sessions::new(store.clone(), flaw));
    let waited_for = if flaw == Some(Flaw::Hasty) { Stop::default() } else { stop.clone() };
    let tasks = Arc::new(Tasks::new(store.clone(), lease, waited_for));
    // A replica hears before it serves.
    let bells = store.listen().await;
    let listening = tokio::spawn(listen(bells, store.clone(), sessions.clone(), tasks.clone()));

    let data = DataFolder::sample()?;
    let calls = Calls::default();
    // The client of lesson 1 plays with every server of files.
    let client = "cargo run -p basic-cancel -- client";
    let page = page::routes("scale-out", client, calls.clone(), stop.clone());
    let beside = page.merge(metrics::routes(calls.clone()));
    let setup = Setup { data, calls, tick, stop: stop.clone() };
    let server = Server::new(FileServer::new(setup))
        .with(Guard::new(stop.clone()))
        .with(InTasks(tasks))
        .with(Watched(sessions.clone()));

    let streams = CancellationToken::new();
    let mut config = StreamableHttpServerConfig::default().with_cancellation_token(streams.clone());
    if flaw != Some(Flaw::NoStore) {
        config.session_store = Some(Arc::new(Shared(store.clone())));
    }
    let mcp = StreamableHttpService::new(move || Ok(server.clone()), sessions.clone(), config);
    let app = Router::new()
        .route_service("/mcp", mcp)
        .layer(from_fn_with_state((store, sessions), session_requests));
    let app = http::whole_requests(app, Limits::default().body).merge(beside);
    let ended = http::serve(listener, app, stop, streams).await;
    listening.abort();
    ended
}

/// Hears every bell, and passes it to those whom it may concern.
async fn listen(
    mut heard: anyhow::Result<BoxStream<'static, Bell>>,
    store: Arc<dyn Store>,
    sessions: Arc<Sessions>,
    tasks: Arc<Tasks>,
) {
    loop {
        if let Ok(bells) = &mut heard {
            while let Some(bell) = bells.next().await {
                match bell {
                    Bell::Cancelled(call, reason) => {
                        sessions.cancelled_elsewhere(&call, reason).await;
                    }
                    Bell::Ended(session) => sessions.ended_elsewhere(&session).await,
                    Bell::Task(id) => tasks.cancelled_elsewhere(&id),
                }
            }
        }
        // The engine is gone, for now. What is missed meanwhile is in the records.
        sleep(Duration::from_millis(100)).await;
        heard = store.listen().await;
    }
}

/// A DELETE ends the session here and then on the other replicas. rmcp would tell its
/// `SessionStore` too, but answers 202 also if that fails.
async fn session_requests(
    State((store, sessions)): State<(Arc<dyn Store>, Arc<Sessions>)>,
    request: Request,
    next: Next,
) -> Response {
    let session = request.headers().get("mcp-session-id").and_then(|id| id.to_str().ok());
    let Some(session) = session.map(str::to_owned) else { return next.run(request).await };
    let delete = request.method() == Method::DELETE;
    let mut response = sessions.in_turn(&session, next.run(request)).await;
    if delete && response.status().is_success() {
        *response.status_mut() = StatusCode::NO_CONTENT;
        if let Err(error) = store.end_session(&session).await {
            let why = format!("the session may still run elsewhere, try again: {error:#}\n");
            return (StatusCode::INTERNAL_SERVER_ERROR, why).into_response();
        }
    }
    response
}

/// The store, as rmcp asks for it: with this, a session that another replica has opened can go on
/// here.
struct Shared(Arc<dyn Store>);

#[async_trait::async_trait]
impl SessionStore for Shared {
    async fn load(&self, id: &str) -> Result<Option<SessionState>, SessionStoreError> {
        let found = self.0.session(id).await?;
        Ok(found.map(|state| serde_json::from_str(&state)).transpose()?)
    }

    async fn store(&self, id: &str, state: &SessionState) -> Result<(), SessionStoreError> {
        Ok(self.0.save_session(id, &serde_json::to_string(state)?).await?)
    }

    /// `session_requests` does it.
    async fn delete(&self, _: &str) -> Result<(), SessionStoreError> {
        Ok(())
    }
}

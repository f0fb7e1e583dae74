//! The bridge's own connection to the server, with a view of what each open call receives.
//!
//! rmcp's client gives every request an id and a progress token of its own. It hands out progress
//! in a task per notification, so its order is lost; here it is taken where it arrives.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use rmcp::RoleClient;
use rmcp::model::{
    ClientCapabilities, ClientConfig, ClientNotification, GetExtensions, GetMeta, Implementation,
    JsonRpcMessage, ProgressNotificationParam, ProgressToken, ProtocolVersion, RequestId,
    ServerNotification,
};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, ClientServiceExt, Peer, RunningService,
    RxJsonRpcMessage, TxJsonRpcMessage,
};
use rmcp::transport::common::client_side_sse::FixedInterval;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, Transport};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How many progress notifications of a call may wait for a slow host.
const PROGRESS: usize = 256;
/// How long a server may take for the handshake.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// How long the end of a connection waits for cancels that are on their way.
const LAST_CANCELS: Duration = Duration::from_secs(5);

/// A connection to the server.
pub struct Upstream {
    peer: Peer<RoleClient>,
    service: tokio::sync::Mutex<Option<RunningService<RoleClient, ClientConfig>>>,
    open: OpenCalls,
}

/// What connects the sender of a call with the transport that the call goes through. It travels
/// in the request's extensions.
#[derive(Debug, Clone)]
pub struct Wire {
    progress: mpsc::Sender<ProgressNotificationParam>,
    /// Fires when the call has been sent. On HTTP: when its response has begun.
    pub sent: CancellationToken,
}

impl Wire {
    /// A wire, and where the call's progress comes out of it, in order.
    pub fn new() -> (Self, mpsc::Receiver<ProgressNotificationParam>) {
        let (progress, receiver) = mpsc::channel(PROGRESS);
        (Self { progress, sent: CancellationToken::new() }, receiver)
    }
}

/// The calls that are open at the server. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct OpenCalls {
    table: Arc<Mutex<Table>>,
    gone: CancellationToken,
}

#[derive(Debug, Default)]
struct Table {
    tokens: HashMap<RequestId, ProgressToken>,
    wires: HashMap<ProgressToken, Wire>,
}

impl OpenCalls {
    /// How many entries the tables hold.
    pub fn entries(&self) -> usize {
        let table = self.table();
        table.tokens.len() + table.wires.len()
    }

    /// Returns when no call is open.
    async fn none(&self) {
        while self.entries() > 0 && !self.gone.is_cancelled() {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Returns when the server is gone.
    pub async fn gone(&self) {
        self.gone.cancelled().await;
    }

    fn begin(&self, id: RequestId, token: ProgressToken, wire: Wire) {
        let mut table = self.table();
        table.tokens.insert(id, token.clone());
        table.wires.insert(token, wire);
    }

    fn end(&self, id: &RequestId) {
        let mut table = self.table();
        if let Some(token) = table.tokens.remove(id) {
            table.wires.remove(&token);
        }
    }

    /// The server's news of a call. If the host is slower than the server by [`PROGRESS`]
    /// notifications, this one is dropped: the next says more.
    fn news(&self, progress: &ProgressNotificationParam) {
        if let Some(wire) = self.table().wires.get(&progress.progress_token) {
            let _ = wire.progress.try_send(progress.clone());
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upstream {
    /// Connects to the server, in this revision, or in the newest that the server speaks.
    pub async fn connect<T>(transport: T, protocol: Option<ProtocolVersion>) -> anyhow::Result<Self>
    where
        T: Transport<RoleClient> + 'static,
    {
        let open = OpenCalls::default();
        let transport = Watched { inner: transport, open: open.clone() };
        let me = Implementation::new("mcp-bridge", env!("CARGO_PKG_VERSION"));
        // No capabilities: a server must not ask a client for what it has not declared.
        let config = ClientConfig::new(ClientCapabilities::default(), me);
        let (newest, oldest) = (ProtocolVersion::V_2026_07_28, ProtocolVersion::V_2025_11_25);
        let lifecycle = match protocol {
            None => ClientLifecycleMode::Auto {
                preferred_versions: vec![newest],
                legacy_version: Some(oldest),
            },
            Some(version) if version == newest => {
                ClientLifecycleMode::Discover { preferred_versions: vec![version] }
            }
            Some(_) => ClientLifecycleMode::Initialize,
        };
        let config = config.with_protocol_version(ProtocolVersion::V_2025_11_25);
        let service = timeout(HANDSHAKE, config.serve_with_lifecycle(transport, lifecycle))
            .await
            .with_context(|| format!("it said nothing for {HANDSHAKE:?}"))?
            .map_err(|error| match error {
                // rmcp prints the types of its transport too. What went wrong is inside.
                ClientInitializeError::TransportError { error, .. } => anyhow!(error.error),
                other => other.into(),
            })?;
        Ok(Self { peer: service.peer().clone(), service: Some(service).into(), open })
    }

    /// What requests are sent with.
    pub fn peer(&self) -> &Peer<RoleClient> {
        &self.peer
    }

    /// The calls that are open at the server.
    pub fn open(&self) -> &OpenCalls {
        &self.open
    }

    /// Ends the session, or the child process, when the last cancels are out.
    pub async fn close(&self) -> anyhow::Result<()> {
        let Some(service) = self.service.lock().await.take() else { return Ok(()) };
        let _ = timeout(LAST_CANCELS, self.open.none()).await;
        service.cancel().await?;
        Ok(())
    }
}

/// A way to an HTTP server. If a stream breaks, it is taken up again a few times, not for ever:
/// somebody waits for the answer.
pub fn http(url: &str) -> impl Transport<RoleClient> + use<> {
    let mut config = StreamableHttpClientTransportConfig::with_uri(url);
    let mut again = FixedInterval::default();
    again.max_times = Some(2);
    again.duration = Duration::from_millis(500);
    config.retry_config = Arc::new(again);
    config.max_concurrent_requests = usize::from(u16::MAX);
    StreamableHttpClientTransport::from_config(config)
}

/// A transport that knows which calls are open.
struct Watched<T> {
    inner: T,
    open: OpenCalls,
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for Watched<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        mut message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let mut call = None;
        match &mut message {
            JsonRpcMessage::Request(request) => {
                let token = request.request.get_meta().get_progress_token();
                let wire = request.request.extensions_mut().remove::<Wire>();
                if let (Some(token), Some(wire)) = (token, wire) {
                    self.open.begin(request.id.clone(), token, wire.clone());
                    call = Some((request.id.clone(), wire.sent));
                }
            }
            JsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancel) =
                    &notification.notification
                    && let Some(id) = &cancel.params.request_id
                {
                    self.open.end(id);
                }
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {}
        }
        let (sending, open) = (self.inner.send(message), self.open.clone());
        async move {
            let outcome = sending.await;
            if let Some((id, sent)) = call {
                sent.cancel();
                if outcome.is_err() {
                    open.end(&id);
                }
            }
            outcome
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        let Some(message) = self.inner.receive().await else {
            self.open.gone.cancel();
            return None;
        };
        match &message {
            JsonRpcMessage::Response(response) => self.open.end(&response.id),
            JsonRpcMessage::Error(error) => error.id.iter().for_each(|id| self.open.end(id)),
            JsonRpcMessage::Notification(notification) => {
                if let ServerNotification::ProgressNotification(progress) =
                    &notification.notification
                {
                    self.open.news(&progress.params);
                }
            }
            JsonRpcMessage::Request(_) => {}
        }
        Some(message)
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}

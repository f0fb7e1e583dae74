//! A seam: what stands between a client's connection and the server.
//!
//! In a healthy server nothing does. A test, or a server that is wrong on purpose, puts
//! something here that reads, changes or adds messages, and hosts the server as always.

use std::sync::Arc;

use axum::Router;
use futures::future::BoxFuture;
use rmcp::RoleServer;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;

/// What stands between each connection and the server. The default is nothing.
#[derive(Clone, Default)]
pub struct Between {
    connection: Option<Arc<dyn Fn() -> Box<dyn Tap> + Send + Sync>>,
    routes: Option<fn(Router) -> Router>,
}

impl Between {
    /// A new tap in each connection.
    #[must_use]
    pub fn connections<T: Tap>(mut self, tap: impl Fn() -> T + Send + Sync + 'static) -> Self {
        self.connection = Some(Arc::new(move || Box::new(tap())));
        self
    }

    /// Something around the HTTP routes.
    #[must_use]
    pub fn around_routes(mut self, around: fn(Router) -> Router) -> Self {
        self.routes = Some(around);
        self
    }

    pub(crate) fn connection(&self) -> Option<Box<dyn Tap>> {
        self.connection.as_ref().map(|tap| tap())
    }

    pub(crate) fn routes(&self) -> fn(Router) -> Router {
        self.routes.unwrap_or(|routes| routes)
    }
}

/// Sees the messages of one connection, nearer to the client than all of the server's own
/// logic.
pub trait Tap: Send + Sync + 'static {
    /// What the server is to read in place of this message.
    fn received(&mut self, message: RxJsonRpcMessage<RoleServer>) -> RxJsonRpcMessage<RoleServer> {
        message
    }

    /// What is to be written before the server's next message.
    fn before(
        &mut self,
        message: &TxJsonRpcMessage<RoleServer>,
    ) -> Vec<TxJsonRpcMessage<RoleServer>>;

    /// The client's side has ended. The server learns of it when this returns. If it is dropped before,
    /// it is called again.
    fn ended(&mut self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A transport with a tap, or with none.
pub struct Tapped<T> {
    inner: T,
    tap: Option<Box<dyn Tap>>,
}

impl<T> Tapped<T> {
    pub(crate) fn new(inner: T, tap: Option<Box<dyn Tap>>) -> Self {
        Self { inner, tap }
    }
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for Tapped<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let before = self.tap.as_mut().map(|tap| tap.before(&message)).unwrap_or_default();
        let before: Vec<_> =
            before.into_iter().map(|message| tokio::spawn(self.inner.send(message))).collect();
        let sending = self.inner.send(message);
        async move {
            for sent in before {
                // Whether it arrives does not concern the message that goes out next.
                let _ = sent.await;
            }
            sending.await
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        match (self.inner.receive().await, &mut self.tap) {
            (Some(message), Some(tap)) => Some(tap.received(message)),
            (None, Some(tap)) => {
                tap.ended().await;
                None
            }
            (message, None) => message,
        }
    }

    fn close(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        self.inner.close()
    }
}

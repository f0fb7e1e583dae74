//! Messages leave in the order in which they were sent.

use std::future::ready;

use futures::FutureExt as _;
use rmcp::service::{RxJsonRpcMessage, ServiceRole, TxJsonRpcMessage};
use rmcp::transport::Transport;

/// A transport that begins each write at once.
///
/// rmcp gives each write a task of its own, and tasks run in any order (docs/src/upstream.md). So
/// on stdio a cancel can be written before the call that it names, and the call runs on.
#[derive(Debug)]
pub struct InOrder<T>(pub T);

impl<R: ServiceRole, T: Transport<R>> Transport<R> for InOrder<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<R>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let mut sending = Box::pin(self.0.send(message));
        // Most messages are written now. The others wait for the pipe, one behind the other.
        match sending.as_mut().now_or_never() {
            Some(sent) => ready(sent).left_future(),
            None => sending.right_future(),
        }
    }

    fn receive(&mut self) -> impl Future<Output = Option<RxJsonRpcMessage<R>>> + Send {
        self.0.receive()
    }

    fn close(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        self.0.close()
    }
}

//! Streams of a session that nobody reads.

use std::pin::pin;

use futures::stream::poll_fn;
use futures::{Stream, StreamExt};
use rmcp::model::JsonRpcMessage;
use rmcp::transport::streamable_http_server::session::ServerSseMessage;
use tokio::sync::mpsc::{self, error::TrySendError};

/// How many events of a stream wait for its reader.
const WAITING: usize = 16;

/// Takes the events from rmcp's session worker as they come, read or not.
///
/// One worker serves a whole session, and waits for a stream that takes no more. So a client that
/// leaves one stream unread would deafen its session: no cancel would be heard. Here a notification
/// that finds no room is left out. What must arrive, answers and requests, waits for its reader.
pub(crate) fn taken(
    events: impl Stream<Item = ServerSseMessage> + Send + 'static,
) -> impl Stream<Item = ServerSseMessage> + Send + Sync + 'static {
    let (waiting, mut read) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut events = pin!(events);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                // The client has hung up.
                () = waiting.closed() => None,
            };
            let Some(event) = event else { return };
            if let Err(TrySendError::Full(event)) = waiting.try_send(event)
                && !is_notification(&event)
            {
                // An error means that the client has hung up.
                let _ = waiting.send(event).await;
            }
        }
    });
    poll_fn(move |context| read.poll_recv(context))
}

fn is_notification(event: &ServerSseMessage) -> bool {
    matches!(event.message.as_deref(), Some(JsonRpcMessage::Notification(_)))
}

//! Hint: the server was not told that a call that never ends was given up

use std::time::Duration;

use rmcp::model::{ClientRequest, ServerResult};
use rmcp::service::PeerRequestOptions;
use shared::client::Client;

pub async fn call_with_deadline(
    client: &Client,
    call: ClientRequest,
    silence: Duration,
    cap: Duration,
) -> anyhow::Result<ServerResult> {
    let options = PeerRequestOptions::with_timeout(silence).reset_timeout_on_progress();
    let handle = client.send_cancellable_request(call, options).await?;
    Ok(tokio::time::timeout(cap, handle.await_response()).await??)
}

//! Hint: a call that reports each second was given up after 3s: request timeout after 3s

use std::time::Duration;

use rmcp::model::{ClientRequest, ServerResult};
use rmcp::service::PeerRequestOptions;
use shared::client::Client;

pub async fn call_with_deadline(
    client: &Client,
    call: ClientRequest,
    silence: Duration,
    _cap: Duration,
) -> anyhow::Result<ServerResult> {
    let options = PeerRequestOptions::with_timeout(silence);
    let handle = client.send_cancellable_request(call, options).await?;
    Ok(handle.await_response().await?)
}

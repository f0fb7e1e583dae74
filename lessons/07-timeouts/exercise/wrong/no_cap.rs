//! Hint: a call that never ends was to be given up after 20s

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
    let options = PeerRequestOptions::with_timeout(silence).reset_timeout_on_progress();
    let handle = client.send_cancellable_request(call, options).await?;
    Ok(handle.await_response().await?)
}

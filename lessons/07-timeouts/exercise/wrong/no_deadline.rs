//! Hint: a silent call was to be given up after 3s, but your function ended after 60

use std::time::Duration;

use rmcp::model::{ClientRequest, ServerResult};
use rmcp::service::PeerRequestOptions;
use shared::client::Client;

pub async fn call_with_deadline(
    client: &Client,
    call: ClientRequest,
    _silence: Duration,
    _cap: Duration,
) -> anyhow::Result<ServerResult> {
    let options = PeerRequestOptions::no_options();
    let handle = client.send_cancellable_request(call, options).await?;
    Ok(handle.await_response().await?)
}

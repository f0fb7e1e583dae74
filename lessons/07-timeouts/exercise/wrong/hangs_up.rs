//! Hint: the connection did not survive that a silent call was given up

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
    let options = PeerRequestOptions::with_timeout(silence)
        .reset_timeout_on_progress()
        .with_max_total_timeout(cap);
    let handle = client.send_cancellable_request(call, options).await?;
    let answer = handle.await_response().await;
    if answer.is_err() {
        client.cancellation_token().cancel();
    }
    Ok(answer?)
}

//! Write the client: a call with two deadlines.
//!
//! A caller wants to wait as long as the tool is alive, but not for ever. Write a function that
//! makes a call and waits for its answer:
//!
//! 1. When nothing has come for `silence`, give the call up. Each progress notification counts.
//! 2. When `cap` is over, give the call up, however much it talks.
//! 3. A call that is given up ends with an error here, and as cancelled at the server. The
//!    connection lives on: other calls use it.
//!
//! What you may use: `client.send_cancellable_request(call, options).await?` returns a handle, and
//! `handle.await_response().await?` is the answer. Look at what `rmcp::service::PeerRequestOptions`
//! can do, and at the chapter `deadline` of this lesson.
//!
//! Check it with `cargo run -p timeouts -- exercise`. A solution: `-- exercise --solution`.
//! More of it in README.md, "Exercise".

use std::time::Duration;

use course::exercise::not_begun;
use rmcp::model::{ClientRequest, ServerResult};
use shared::client::Client;

pub async fn call_with_deadline(
    client: &Client,
    call: ClientRequest,
    silence: Duration,
    cap: Duration,
) -> anyhow::Result<ServerResult> {
    Err(not_begun((client, call, silence, cap)))
}

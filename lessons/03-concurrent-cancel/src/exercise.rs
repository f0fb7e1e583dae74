//! Write the proof: a hedged call, which stops the rest and none but the rest.
//!
//! When an answer is urgent, ask several servers, or several copies of the data, and take what
//! comes first. Then nobody needs the others, and they should stop.
//!
//! 1. Send all calls at once, and return the text of the first that succeeds. A call that fails is
//!    no answer, as long as another may still succeed.
//! 2. Cancel those of your calls that are still at work. Other calls run on this connection: leave
//!    them alone.
//! 3. Prove it. Ask the server before you return. If one of your calls was not cancelled, or if a
//!    call that is not yours was, return an error. Your code is played against a server that stops
//!    nothing, and against one that stops all calls. It must notice both.
//!
//! What you may use:
//! - `client.send_cancellable_request(call, patient()).await?` sends a call. Its handle has an `id`,
//!   and `handle.await_response().await` is the answer: `tool_result` and `text_of` read it. All
//!   three are in `shared::client`. A `tokio::task::JoinSet` waits for several answers at once.
//! - `client.notify_cancelled(CancelledNotificationParam::new(Some(id), None)).await?`
//!   cancels by id, with `rmcp::model::CancelledNotificationParam`.
//! - `client.ask_by_id(&id).await?` waits until a call has ended, and returns its record.
//!   `client.list_calls().await?` returns the records of all.
//!
//! Check it with `cargo run -p concurrent-cancel -- exercise`. A solution: `-- exercise --solution`.
//! More of it in README.md, "Exercise".

use course::exercise::not_begun;
use rmcp::model::ClientRequest;
use shared::client::Client;

pub async fn hedged(client: &Client, calls: Vec<ClientRequest>) -> anyhow::Result<String> {
    Err(not_begun((client, calls)))
}

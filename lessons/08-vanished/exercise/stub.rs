//! Write the tool: a silent call that lives as long as its client does.
//!
//! On HTTP 2025-11-25 a session without messages is closed after a while, and its calls with it.
//! The work of this tool has nothing to report for minutes. Sending progress all the same would
//! keep the session open, but for a dead client too. So ask the client whether it is there:
//!
//! 1. Do all steps of the job: `job.step().await`, `job.steps()` times. Then `Ok(Some(text))`.
//! 2. Meanwhile send a `ping` to the client, `every` after its last answer. A client that is alive
//!    answers it.
//! 3. A client that takes longer than `every` to answer is dead: stop working for it, with an error.
//! 4. When the call is cancelled (`ctx.ct`), stop at once: `Ok(None)`.
//!
//! What you may use: `ctx.peer` sends to the client, as a client does to its server:
//! `ctx.peer.send_cancellable_request(ServerRequest::PingRequest(PingRequest::default()), options)`.
//! Both are in `rmcp::model`. The options, `rmcp::service::PeerRequestOptions`, can have a timeout,
//! which `await_response()` of the handle obeys.
//! `tokio::select!` waits for several things at once.
//! (2026-07-28 needs none of this, and has no such ping: a lost connection is a cancel.)
//!
//! Check it with `cargo run -p vanished -- exercise`. A solution: `-- exercise --solution`.
//! More of it in README.md, "Exercise".

use std::time::Duration;

use course::exercise::not_begun;
use course::exercise::tool::{Context, Job, Outcome};

pub async fn kept_alive(job: Job, ctx: Context, every: Duration) -> Outcome {
    Err(not_begun((job, ctx, every)))
}

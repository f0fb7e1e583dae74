//! Write the proof: cancel by hand, over plain HTTP, and find out whether the server obeys.
//!
//! The session is open already (2025-11-25), and the wire prints what goes and comes:
//!
//! 1. POST a `tools/call` of `process_large_file` with an id of your own, 200 steps of
//!    `large_dataset.csv`, and a progress token. Wait until it has reported some progress.
//! 2. POST its cancel. The server must say 202 to that.
//! 3. The stream of the call must end with the error -32800, and not with a result.
//! 4. The work must have stopped. Ask the server.
//!
//! Return an error if any of this does not hold. Your code is played against a healthy server,
//! against one that works on, and against one that answers a cancelled call all the same.
//!
//! What you may use: the messages of `src/lib.rs`, and `src/wire.rs`:
//! - `wire.post(&json).await?` returns a response when its head is there.
//! - `response.progress(3).await?` reads three notifications, `response.answer().await?` the answer,
//!   `response.accepted().await?` wants 202 and nothing more.
//! - `wire.stopped().await?` asks the server, and is an error unless the newest call ends as cancelled
//!   within five steps.
//!
//! Check it with `cargo run -p on-the-wire -- exercise`. A solution: `-- exercise --solution`.
//! More of it in README.md, "Exercise".

use course::exercise::not_begun;

use crate::wire::Wire;

pub async fn prove(wire: &Wire) -> anyhow::Result<()> {
    Err(not_begun(wire))
}

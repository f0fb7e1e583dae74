//! Write the tool: work that stops when its call is cancelled.
//!
//! This function is a tool of the lesson's server: rmcp runs it for each `process_large_file`.
//! Write it so that the lesson's own story passes against it:
//!
//! 1. Report step 0 to the client. Then do all steps of the job, and report each one.
//! 2. When the call is cancelled, stop at once, also in the middle of a step: `Ok(None)`.
//! 3. When all is done, return a text for the client: `Ok(Some(text))`.
//!
//! What you may use:
//! - `job.steps()` is how many steps there are, a `u64`. `job.step().await` does one (`job` need not
//!   be `mut`).
//! - `ctx.ct` is the call's cancellation token: `ctx.ct.cancelled().await` ends with the cancel.
//! - `ctx.report(done: u64, whole: u64, message: String).await` sends progress: so many steps of
//!   the whole are done. It needs `use shared::server::Caller;`.
//!
//! Check it with `cargo run -p basic-cancel -- exercise`. A solution: `-- exercise --solution`.
//! More of it in README.md, "Exercise".

use course::exercise::not_begun;
use course::exercise::tool::{Context, Job, Outcome};

pub async fn process(job: Job, ctx: Context) -> Outcome {
    Err(not_begun((job, ctx)))
}

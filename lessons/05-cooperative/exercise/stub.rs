//! Write the tool: somebody else's blocking library, made stoppable.
//!
//! The library knows nothing of async and nothing of cancellation. But it has a callback:
//! `library.render(pages, |page| ..)` blocks until all pages are rendered, calls the closure after
//! each page, and returns early if that says `ControlFlow::Break(())`. It returns how many pages it
//! has rendered. Write the tool:
//!
//! 1. Render all pages, without keeping the server from its other work: `Ok(Some(text))`.
//! 2. When the call is cancelled, not one more page: `Ok(None)`.
//! 3. Do not say that it has ended before the library has returned.
//!
//! What you may use: `tokio::task::spawn_blocking(..).await?`, `ctx.ct.is_cancelled()`,
//! `std::ops::ControlFlow::{Break, Continue}`.
//!
//! Check it with `cargo run -p cooperative -- exercise`. A solution: `-- exercise --solution`.
//! More of it in README.md, "Exercise".

use course::exercise::not_begun;
use course::exercise::tool::{Context, Outcome};

use crate::check::Library;

pub async fn render(pages: u32, library: Library, ctx: Context) -> Outcome {
    Err(not_begun((pages, library, ctx)))
}

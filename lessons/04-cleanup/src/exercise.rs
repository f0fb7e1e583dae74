//! Write the tool: an export that gives everything back, however it ends.
//!
//! While it works, an export holds three things: a permit of the pool, a temporary file, and a
//! lease, which is a row in a database. Write the export:
//!
//! 1. Take all three. Then fetch each part of the report, and write it into the file.
//! 2. When the last part is written, publish the file: `Ok(Some(text))`.
//! 3. When the call is cancelled, stop at once: `Ok(None)`. When a part, a write or the lease fails,
//!    return that error.
//! 4. However it ends, nothing stays behind, and nothing is given back that is somebody else's.
//!
//! What you may use:
//! - `held.try_permit()?` and `held.unfinished(name).await?` give themselves back in their `Drop`.
//!   `file.writer()?` is a `tokio::fs::File` (`use tokio::io::AsyncWriteExt;` for `write_all` and
//!   `flush`), `file.publish().await?` gives it its real name.
//! - `held.take_lease(name).await?` and `held.give_back_lease(name).await?`: no `Drop` does that.
//! - `report.part().await?` is the bytes of the next part, `report.parts()` is how many there are,
//!   a `u64`. `report.name()` is the name of lease and file. And `ctx.ct`.
//!
//! Check it with `cargo run -p cleanup -- exercise`. A solution: `-- exercise --solution`.
//! More of it in README.md, "Exercise".

use course::exercise::not_begun;
use course::exercise::tool::{Context, Outcome};

use crate::check::Report;
use crate::resources::Resources;

pub async fn export(report: Report, held: Resources, ctx: Context) -> Outcome {
    Err(not_begun((report, held, ctx)))
}

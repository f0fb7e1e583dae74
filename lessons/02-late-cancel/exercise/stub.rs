//! Write the tool: a call that has one end, however late its cancel comes.
//!
//! This tool counts rows, and writes into the books how the call ended: only `Finished` is charged
//! for. It has a bug that customers have noticed: some calls have two ends in the books. Mend it:
//!
//! 1. A cancel that comes while the rows are counted wins: the books say `Cancelled`.
//! 2. When the rows are counted, a cancel comes too late: the books say `Finished`.
//! 3. Each call has one entry, a whole one, and the tool returns what the entry says:
//!    `Ok(Some(text))` is finished, `Ok(None)` is cancelled.
//!
//! What you may use: `count.rows().await`, `count.write(end).await`, `ctx.ct`, and all of tokio.
//! (It helps to know that rmcp fires `ctx.ct` also when a call has ended normally.)
//!
//! Check it with `cargo run -p late-cancel -- exercise`. A solution: `-- exercise --solution`.
//! More of it in README.md, "Exercise".

use course::exercise::not_begun;
use course::exercise::tool::{Context, Outcome};

use crate::check::{Count, End};

pub async fn count_rows(count: Count, ctx: Context) -> Outcome {
    not_begun(()); // Delete this line, and its `use`, when you begin.

    // As soon as the cancel comes, write it down.
    let (ct, watched) = (ctx.ct.clone(), count.clone());
    tokio::spawn(async move {
        ct.cancelled().await;
        watched.write(End::Cancelled).await;
    });
    let rows = count.rows().await;
    count.write(End::Finished).await;
    Ok(Some(format!("{rows} rows")))
}

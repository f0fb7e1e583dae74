//! A solution: first decide, then write, and let no cancel near the writing.

use course::exercise::tool::{Context, Outcome};

use crate::check::{Count, End};

pub async fn count_rows(count: Count, ctx: Context) -> Outcome {
    // The one place where the fate of the call is decided.
    let counted = tokio::select! {
        biased;
        () = ctx.ct.cancelled() => None,
        rows = count.rows() => Some(rows),
    };
    // From here on nobody looks at the token: a cancel that comes now is too late.
    count.write(if counted.is_some() { End::Finished } else { End::Cancelled }).await;
    Ok(counted.map(|rows| format!("{rows} rows")))
}

//! Hint: a call cancelled while its end was written is Finished in the books, but the server's list says Cancelled

use course::exercise::tool::{Context, Outcome};

use crate::check::{Count, End};

pub async fn count_rows(count: Count, ctx: Context) -> Outcome {
    let counted = tokio::select! {
        () = ctx.ct.cancelled() => None,
        rows = count.rows() => Some(rows),
    };
    count.write(if counted.is_some() { End::Finished } else { End::Cancelled }).await;
    if ctx.ct.is_cancelled() { Ok(None) } else { Ok(counted.map(|rows| format!("{rows} rows"))) }
}

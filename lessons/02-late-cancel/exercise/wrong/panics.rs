//! Hint: your code panicked

use course::exercise::tool::{Context, Outcome};

use crate::check::{Count, End};

pub async fn count_rows(count: Count, ctx: Context) -> Outcome {
    let counted = tokio::select! {
        () = ctx.ct.cancelled() => None,
        rows = count.rows() => Some(rows),
    };
    let rows = counted.expect("rows");
    count.write(End::Finished).await;
    Ok(Some(format!("{rows} rows")))
}

//! Hint: a call cancelled while it counted has 0 ends in the books: []

use course::exercise::tool::{Context, Outcome};

use crate::check::{Count, End};

pub async fn count_rows(count: Count, ctx: Context) -> Outcome {
    tokio::select! {
        () = ctx.ct.cancelled() => Ok(None),
        rows = count.rows() => {
            count.write(End::Finished).await;
            Ok(Some(format!("{rows} rows")))
        }
    }
}

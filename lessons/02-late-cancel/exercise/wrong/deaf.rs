//! Hint: a call cancelled while it counted is Finished in the books

use course::exercise::tool::{Context, Outcome};

use crate::check::{Count, End};

pub async fn count_rows(count: Count, _ctx: Context) -> Outcome {
    let rows = count.rows().await;
    count.write(End::Finished).await;
    Ok(Some(format!("{rows} rows")))
}

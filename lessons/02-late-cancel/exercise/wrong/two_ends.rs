//! Hint: a call that nobody cancelled has 2 ends in the books: [Finished, Cancelled]

use course::exercise::tool::{Context, Outcome};

use crate::check::{Count, End};

pub async fn count_rows(count: Count, ctx: Context) -> Outcome {
    let (ct, watched) = (ctx.ct.clone(), count.clone());
    tokio::spawn(async move {
        ct.cancelled().await;
        watched.write(End::Cancelled).await;
    });
    let rows = count.rows().await;
    count.write(End::Finished).await;
    Ok(Some(format!("{rows} rows")))
}

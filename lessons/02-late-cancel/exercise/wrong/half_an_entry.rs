//! Hint: a call cancelled while its end was written has half an entry in the books

use course::exercise::tool::{Context, Outcome};

use crate::check::{Count, End};

pub async fn count_rows(count: Count, ctx: Context) -> Outcome {
    let work = async {
        let rows = count.rows().await;
        count.write(End::Finished).await;
        rows
    };
    tokio::select! {
        () = ctx.ct.cancelled() => {
            count.write(End::Cancelled).await;
            Ok(None)
        }
        rows = work => Ok(Some(format!("{rows} rows"))),
    }
}

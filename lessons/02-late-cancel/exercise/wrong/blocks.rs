//! Hint: your code blocks its thread

use course::exercise::tool::{Context, Outcome};

use crate::check::{Count, End};

pub async fn count_rows(count: Count, ctx: Context) -> Outcome {
    let work = tokio::spawn({
        let count = count.clone();
        async move { count.rows().await }
    });
    while !work.is_finished() && !ctx.ct.is_cancelled() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let counted = if work.is_finished() { Some(work.await?) } else { None };
    count.write(if counted.is_some() { End::Finished } else { End::Cancelled }).await;
    Ok(counted.map(|rows| format!("{rows} rows")))
}

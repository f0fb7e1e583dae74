//! Hint: your code blocks its thread

use std::time::Duration;

use course::exercise::tool::{Context, Job, Outcome};

pub async fn kept_alive(job: Job, ctx: Context, every: Duration) -> Outcome {
    for _ in 0..job.steps() {
        if ctx.ct.is_cancelled() {
            return Ok(None);
        }
        std::thread::sleep(every);
        job.step().await;
    }
    Ok(Some("done".to_owned()))
}

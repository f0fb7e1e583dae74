//! Hint: your code blocks its thread

use std::time::Duration;

use course::exercise::tool::{Context, Job, Outcome};
use shared::server::Caller;

pub async fn process(job: Job, ctx: Context) -> Outcome {
    for step in 0..=job.steps() {
        if ctx.ct.is_cancelled() {
            return Ok(None);
        }
        ctx.report(step, job.steps(), String::new()).await;
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(Some("done".to_owned()))
}

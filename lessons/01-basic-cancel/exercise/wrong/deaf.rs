//! Hint: the server did not cancel: its call finished

use course::exercise::tool::{Context, Job, Outcome};
use shared::server::Caller;

pub async fn process(job: Job, ctx: Context) -> Outcome {
    for step in 0..=job.steps() {
        if step > 0 {
            job.step().await;
        }
        ctx.report(step, job.steps(), String::new()).await;
    }
    Ok(Some("done".to_owned()))
}

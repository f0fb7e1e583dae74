//! Hint: a call that nobody cancels reports nothing

use course::exercise::tool::{Context, Job, Outcome};

pub async fn process(job: Job, ctx: Context) -> Outcome {
    for _ in 0..job.steps() {
        tokio::select! {
            () = ctx.ct.cancelled() => return Ok(None),
            () = job.step() => {}
        }
    }
    Ok(Some("done".to_owned()))
}

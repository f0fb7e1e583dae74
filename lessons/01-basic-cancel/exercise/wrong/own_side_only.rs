//! Hint: the work went on for 16 steps after the tool had returned

use course::exercise::tool::{Context, Job, Outcome};
use shared::server::Caller;

pub async fn process(job: Job, ctx: Context) -> Outcome {
    let ct = ctx.ct.clone();
    let work = tokio::spawn(async move {
        for step in 0..=job.steps() {
            if step > 0 {
                job.step().await;
            }
            if !ctx.ct.is_cancelled() {
                ctx.report(step, job.steps(), String::new()).await;
            }
        }
    });
    tokio::select! {
        () = ct.cancelled() => Ok(None),
        done = work => Ok(Some(format!("{done:?}"))),
    }
}

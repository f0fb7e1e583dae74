//! Hint: a call that nobody cancels reports step 1 after 0 steps

use course::exercise::tool::{Context, Job, Outcome};
use shared::server::Caller;

pub async fn process(job: Job, ctx: Context) -> Outcome {
    let work = async {
        ctx.report(0, job.steps(), String::new()).await;
        for step in 1..=job.steps() {
            ctx.report(step, job.steps(), String::new()).await;
            job.step().await;
        }
    };
    tokio::select! {
        () = ctx.ct.cancelled() => Ok(None),
        () = work => Ok(Some("done".to_owned())),
    }
}

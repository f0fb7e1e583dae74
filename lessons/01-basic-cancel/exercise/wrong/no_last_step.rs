//! Hint: a call that nobody cancels reports 0, 0, 1, 2, and not 0, 1, 2, 3

use course::exercise::tool::{Context, Job, Outcome};
use shared::server::Caller;

pub async fn process(job: Job, ctx: Context) -> Outcome {
    let work = async {
        ctx.report(0, job.steps(), String::new()).await;
        for step in 0..job.steps() {
            job.step().await;
            ctx.report(step, job.steps(), String::new()).await;
        }
    };
    tokio::select! {
        () = ctx.ct.cancelled() => Ok(None),
        () = work => Ok(Some("done".to_owned())),
    }
}

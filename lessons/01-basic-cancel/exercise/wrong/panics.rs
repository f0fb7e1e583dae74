//! Hint: your code panicked

use course::exercise::tool::{Context, Job, Outcome};
use shared::server::Caller;

pub async fn process(job: Job, ctx: Context) -> Outcome {
    let work = async {
        for step in 0..=job.steps() {
            if step > 0 {
                job.step().await;
            }
            ctx.report(step, job.steps(), String::new()).await;
        }
    };
    tokio::select! {
        () = ctx.ct.cancelled() => panic!("cancelled"),
        () = work => Ok(Some("done".to_owned())),
    }
}

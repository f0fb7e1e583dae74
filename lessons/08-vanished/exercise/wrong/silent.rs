//! Hint: the client heard nothing for

use std::time::Duration;

use course::exercise::tool::{Context, Job, Outcome};

pub async fn kept_alive(job: Job, ctx: Context, _every: Duration) -> Outcome {
    let work = async {
        for _ in 0..job.steps() {
            job.step().await;
        }
    };
    tokio::select! {
        () = ctx.ct.cancelled() => Ok(None),
        () = work => Ok(Some(format!("did {} steps", job.steps()))),
    }
}

//! Hint: the tool worked on for 85 s for a client that was dead

use std::time::Duration;

use anyhow::bail;
use course::exercise::tool::{Context, Job, Outcome};
use rmcp::model::{PingRequest, ServerRequest};
use rmcp::service::PeerRequestOptions;
use tokio::time::sleep;

pub async fn kept_alive(job: Job, ctx: Context, every: Duration) -> Outcome {
    let work = async {
        for _ in 0..job.steps() {
            job.step().await;
        }
    };
    // Ends when the client no longer answers.
    let pings = async {
        loop {
            sleep(every).await;
            let ping = ServerRequest::PingRequest(PingRequest::default());
            let options = PeerRequestOptions::no_options();
            let Ok(sent) = ctx.peer.send_cancellable_request(ping, options).await else { break };
            if sent.await_response().await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        biased;
        () = ctx.ct.cancelled() => Ok(None),
        () = work => Ok(Some(format!("did {} steps", job.steps()))),
        () = pings => bail!("the client is gone"),
    }
}

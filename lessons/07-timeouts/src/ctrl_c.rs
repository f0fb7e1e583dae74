//! The chapter `ctrl-c`: the user has had enough.

use std::pin::pin;

use anyhow::{bail, ensure};
use course::narrate::outcome;
use course::stage::Stage;
use rmcp::service::PeerRequestOptions;
use shared::calls::State;
use shared::server::MAX_STEPS;
use tokio::signal;

use crate::{TOOL, request, see_it_end};

/// A client for a person: Ctrl-C cancels its call, a second Ctrl-C leaves.
pub(crate) async fn ctrl_c(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.connect().await?;
    let mut progress = client.progress();
    let options = PeerRequestOptions::no_options();
    let mut call = client.send_cancellable_request(request(MAX_STEPS), options).await?;
    let (id, token) = (call.id.clone(), call.progress_token.clone());

    // 1. Unhandled, Ctrl-C would end this process, and that is no cancel on HTTP 2025-11-25
    //    (lesson 8). The first branch is polled first, so we listen before we print.
    let mut pressed = pin!(signal::ctrl_c());
    loop {
        tokio::select! {
            biased;
            press = &mut pressed => break press?,
            answer = &mut call.rx => bail!("the call ended by itself: {answer:?}"),
            news = progress.next_of(&token) => {
                let news = news?.message.unwrap_or_default();
                println!("   request {id}: {news}; Ctrl-C stops it");
            }
        }
    }

    // 2. The first press asks: cancel, and wait for the server's word. That can take long: a
    //    server may clean up, or be deaf. So the person keeps a way out, the second press.
    //    It may come at any moment, so nothing is asked before the cancel is on its way.
    println!("🛑 cancelling request {id}; Ctrl-C again leaves at once");
    let stopped = async {
        call.cancel(Some("the user pressed Ctrl-C".to_owned())).await?;
        see_it_end(&client, client.newest(TOOL).await?, u32::MAX).await
    };
    let call = tokio::select! {
        biased;
        press = signal::ctrl_c() => {
            press?;
            bail!("left at the second Ctrl-C, and nobody knows whether the server stopped");
        }
        call = stopped => call?,
    };
    ensure!(
        call.state == State::Cancelled,
        "the server did not cancel: its call {}",
        outcome(&call)
    );
    println!("   the server says: {}", outcome(&call));
    client.close().await
}

//! The chapters `ctrl-c` and `presses`: the user has had enough.

use std::pin::pin;

use anyhow::{Context, bail, ensure};
use course::narrate::outcome;
use course::stage::Stage;
use rmcp::service::PeerRequestOptions;
use shared::calls::State;
use shared::client::PROMPT;
use shared::server::MAX_STEPS;
use tokio::signal;
use tokio::time::Instant;

use crate::program::Program;
use crate::{request, see_it_end};

/// A client for a person: Ctrl-C cancels its call, a second Ctrl-C leaves.
pub(crate) async fn ctrl_c(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.connect().await?;
    let mut progress = client.progress();
    let options = PeerRequestOptions::no_options();
    let mut call = client.send_cancellable_request(request(MAX_STEPS), options).await?;
    let (id, token) = (call.id.clone(), call.progress_token.clone());

    // 1. Unhandled, Ctrl-C would end this process, and that is no cancel on HTTP 2025-11-25
    //    (see `killed.rs`). The first branch is polled first, so we listen before we print.
    let mut pressed = pin!(signal::ctrl_c());
    loop {
        tokio::select! {
            biased;
            press = &mut pressed => break press?,
            answer = &mut call.rx => bail!("the call ended by itself: {answer:?}"),
            news = progress.next_of(&token) => {
                let rows = news?.message.unwrap_or_default();
                println!("   request {id}: {rows}; Ctrl-C stops it");
            }
        }
    }

    // 2. The first press asks: cancel, and wait for the server's word. That can take long, for
    //    a server may clean up or be deaf, so the person keeps a way out: the second press.
    let stopped = async {
        println!("🛑 cancelling request {id}; Ctrl-C again leaves at once");
        call.cancel(Some("the user pressed Ctrl-C".to_owned())).await?;
        see_it_end(&client, &id).await
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

/// Presses Ctrl-C for the reader: once, and twice.
pub(crate) async fn presses(stage: &Stage) -> anyhow::Result<()> {
    once(Program::start(stage.program(&["ctrl-c"])?)?).await?;
    // A server that never looks at its token, so that there is time for a second press.
    twice(Program::start(stage.program(&["ctrl-c", "--wrong", "deaf"])?)?).await
}

/// One Ctrl-C: the client says what has become of its call, and ends well.
pub async fn once(mut client: Program) -> anyhow::Result<()> {
    client.line_with(&["Ctrl-C stops it"]).await?;
    client.interrupt()?;
    let word = client.line_with(&["the server says"]).await;
    let word = word.context("after one Ctrl-C the client did not say what the server does")?;
    let status = client.end().await.context("one Ctrl-C did not end the client")?;
    ensure!(status.success(), "one Ctrl-C ended the client with {status}");
    println!("   once   {}; {status}", word.trim());
    Ok(())
}

/// Two, to a client whose server does not stop: the client leaves.
pub async fn twice(mut client: Program) -> anyhow::Result<()> {
    client.line_with(&["Ctrl-C stops it"]).await?;
    client.interrupt()?;
    client.line_with(&["Ctrl-C again leaves"]).await?;
    client.interrupt()?;
    let pressed_at = Instant::now();
    let status = client.end().await.context("two Ctrl-C did not end the client")?;
    let took = pressed_at.elapsed();
    ensure!(took < PROMPT, "the second Ctrl-C ended the client only after {took:.1?}");
    ensure!(!status.success(), "a client that left without the server's word claims success");
    println!("   twice  the client has left in {:.3} s; {status}", took.as_secs_f64());
    Ok(())
}

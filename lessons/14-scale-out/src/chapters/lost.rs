//! The failure. Two replicas share their sessions, as rmcp's `SessionStore` offers, and nothing
//! else. A cancel is a request of its own, so the round robin sends it to the other replica.

use anyhow::{Result, ensure};
use reqwest::StatusCode;
use rmcp::model::ProtocolVersion;
use rmcp::service::PeerRequestOptions;
use shared::calls::State;
use shared::client::{Client, tool_call};

use crate::flaw::Flaw;
use crate::replica::Manner;
use crate::stage::replicas::count;
use crate::stage::wire::{Caller, work};
use crate::stage::{Options, Rig, TICK};

const CALLS: u32 = 20;
/// Of rmcp's own client.
const MORE: usize = 10;
/// Work that soon ends by itself, since nobody will stop it.
const STEPS: u32 = 8;

/// Plays the chapter.
pub async fn play(options: &Options) -> Result<()> {
    let flaw = options.wrong.or(Some(Flaw::NoBus));
    let rig = Rig::start(options, 2, Manner { flaw, tick: TICK, ..options.manner() }).await?;

    // 1. A session that any replica can go on with. Each request goes to the next replica.
    let caller = Caller::session(&rig.balancer.url).await?;
    let (mut accepted, mut open) = (0, Vec::new());
    for id in 1..=CALLS {
        let mut events = caller.work(&id.into(), STEPS).await?;
        events.runs().await?;
        // 2. The replica that gets this one knows the session, and no such call in it. The
        //    specification wants such a cancel ignored, so all it can say is 202.
        if caller.cancel(&id.into()).await? == StatusCode::ACCEPTED {
            accepted += 1;
        }
        open.push(events);
    }
    for events in open {
        events.last().await?;
    }
    let (mut stopped, mut ran_on) = (0, 0);
    for replica in &rig.replicas {
        let calls = replica.calls_when_ended().await?;
        stopped += count(&calls, State::Cancelled);
        ran_on += count(&calls, State::Finished);
    }
    println!("🛑 {CALLS} cancels through a round robin: {accepted} answered 202");
    println!("   servers: {stopped} of {CALLS} calls cancelled, {ran_on} ran to their end");
    let all = usize::try_from(CALLS)?;
    ensure!(accepted == all, "only {accepted} of {CALLS} cancels were answered 202");
    ensure!(stopped == 0, "{stopped} of {CALLS} calls were stopped: nothing is lost here");
    ensure!(ran_on == all, "only {ran_on} of {CALLS} calls ran to their end");

    // 3. A client library cannot notice. rmcp's own is told Ok.
    let client = Client::http(&rig.balancer.url, ProtocolVersion::V_2025_11_25).await?;
    let mut told_ok = 0;
    for _ in 0..MORE {
        let mut progress = client.progress();
        let call = tool_call("process_large_file", work(STEPS));
        let handle = client.send_cancellable_request(call, PeerRequestOptions::no_options());
        let handle = handle.await?;
        progress.next_of(&handle.progress_token).await?;
        told_ok += usize::from(handle.cancel(Some("no longer wanted".to_owned())).await.is_ok());
    }
    let mut finished = 0;
    for replica in &rig.replicas {
        finished += count(&replica.calls_when_ended().await?, State::Finished);
    }
    let ran_on = finished - all;
    println!("   rmcp's client: `handle.cancel()` said Ok {told_ok} times, {ran_on} calls ran on");
    ensure!(told_ok == MORE, "rmcp's client noticed that {} cancels were lost", MORE - told_ok);
    ensure!(ran_on > 0, "every cancel of rmcp's client reached its call");
    client.close().await
}

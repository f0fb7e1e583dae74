//! HTTP 2026-07-28: the closed stream is the cancel.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::finding::Verdict::{NotApplicable, NotObservable, Pass};
use crate::lane::Lane;
use crate::target::Source;
use crate::wire::log::Event;
use crate::work::STOP;

/// How long the first byte of a stream may be on its way.
const HEAD: Duration = Duration::from_millis(400);

/// 34: the client is gone before it has heard anything.
pub async fn at_once(lane: &mut Lane) -> anyhow::Result<()> {
    if lane.setup.source == Source::None {
        lane.judge(
            34,
            NotObservable,
            "nothing tells about the work: add a status tool or the probe",
        );
        return Ok(());
    }
    let mut call = lane.send_call(lane.wire.next_id()).await;
    // A busy server may not have read it yet: the client goes when the call has begun.
    let until = Instant::now() + Duration::from_secs(1);
    while lane.work_of_new(&mut call).await.is_none() && Instant::now() < until {
        sleep(Duration::from_millis(20)).await;
    }
    // With a server that sends its first byte when the work begins nobody is gone before it. It may
    // be on its way: without this wait luck would choose the verdict.
    let own = call.request.exchange;
    let head = lane.wire.log.first(call.request.mark, HEAD, |frame| {
        (frame.exchange == own && matches!(frame.event, Event::Head(..))).then_some(())
    });
    let streams = head.await.is_some();
    lane.wire.close(own);
    if streams {
        lane.judge(34, NotApplicable, "the first byte comes with the start of the work, see 33");
        return Ok(());
    }
    lane.wire.fence().await?;
    sleep(lane.look()).await;
    let known = lane.work_of_new(&mut call).await;
    call.start = None;
    if known.is_none() && lane.would_tell().await? {
        lane.judge(34, Pass, "the call was never started");
        return Ok(());
    }
    let outcome = lane.outcome(&call, None, STOP).await;
    lane.judge_stop(34, &outcome);
    Ok(())
}

/// 33 and 35 exclude each other: a server streams, or it answers in one piece.
pub fn only_one(lane: &mut Lane) {
    if lane.is_judged(33) {
        lane.judge(35, NotApplicable, "the server answers with a stream");
    } else if lane.is_judged(35) {
        lane.judge(33, NotApplicable, "the server does not answer with a stream");
    }
}

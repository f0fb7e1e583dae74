//! HTTP 2025-11-25: sessions, lost connections, resumed streams.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::finding::Verdict::{Fail, NotApplicable, NotObservable, Pass, Warn};
use crate::lane::{Call, Lane, SETTLE, is_progress, plain};
use crate::wire::log::{self, Event};
use crate::wire::{ANSWER, cancelled};
use crate::work::STOP;

/// 24: the whole session is ended.
pub async fn delete(lane: &mut Lane) -> anyhow::Result<()> {
    if lane.wire.session().is_none() {
        lane.judge(24, NotApplicable, "the server has no sessions");
        return Ok(());
    }
    let call = lane.start().await?;
    let exchange = lane.wire.delete();
    let status = lane.wire.log.first(lane.mark, ANSWER, |frame| match &frame.event {
        Event::Head(status, _) if frame.exchange == exchange => Some(*status),
        _ => None,
    });
    match status.await {
        Some(405) => {
            lane.judge(24, NotApplicable, "the server does not let clients end sessions (405)");
            lane.tidy(&call);
        }
        Some(200..=299) => {
            // Only another session can still ask.
            let deleted = lane.wire.log.since(lane.mark);
            let asker = lane.fork().await?;
            let outcome = asker.outcome(&call, None, STOP * 2).await;
            asker.wire.kill().await;
            lane.judge_stop(24, &outcome);
            if let Some(last) = lane.findings.last_mut().filter(|last| last.number == 24) {
                last.exchange = deleted;
            }
        }
        other => lane.judge(
            24,
            Fail,
            match other {
                Some(status) => format!("DELETE was answered with status {status}"),
                None => "DELETE was not answered".to_owned(),
            },
        ),
    }
    Ok(())
}

/// The last event of the call's stream that has an id.
fn last_event(lane: &Lane, call: &Call) -> Option<String> {
    let ids = lane.wire.log.all(call.request.mark, |frame| match &frame.event {
        Event::Received(_, id) if frame.exchange == call.request.exchange => id.clone(),
        _ => None,
    });
    ids.into_iter().next_back()
}

/// 28: the connection is lost.
pub async fn disconnect(lane: &mut Lane) -> anyhow::Result<()> {
    let call = lane.start().await?;
    lane.wire.close(call.request.exchange);
    sleep(SETTLE).await;
    if let Some(first) = lane.work(&call).await {
        let until = tokio::time::Instant::now() + STOP;
        loop {
            let Some(now) = lane.work(&call).await else { break };
            if now.done > first.done || now.state == "finished" {
                lane.judge(28, Pass, format!("it went on to step {}", now.done));
                break;
            }
            if !now.running || tokio::time::Instant::now() > until {
                lane.judge(
                    28,
                    Warn,
                    format!("the call is {} after {} steps", plain(&now.state), now.done),
                );
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
    } else if let (Some(event), true) = (last_event(lane, &call), call.has_progress) {
        let mark = lane.wire.log.mark();
        let exchange = lane.wire.get(Some(&event));
        let more = lane.wire.log.first(mark, STOP, |frame| {
            if is_progress(frame, &call.token) {
                return Some(true);
            }
            let own = frame.exchange == exchange;
            (own && matches!(frame.event, Event::Ended | Event::Lost(_))).then_some(false)
        });
        match more.await {
            Some(true) => lane.judge(28, Pass, "the resumed stream brought more progress"),
            _ => lane.judge(28, Warn, "the resumed stream brought no more progress"),
        }
        lane.wire.close(exchange);
    } else {
        lane.judge(28, NotObservable, "no status tool, and the stream cannot be resumed");
    }
    lane.tidy(&call);
    Ok(())
}

/// 29: a client that comes back for a call that was cancelled.
pub async fn resume(lane: &mut Lane) -> anyhow::Result<()> {
    let call = lane.start().await?;
    let Some(event) = last_event(lane, &call) else {
        lane.judge(29, NotApplicable, "the server's events have no ids: nothing can be resumed");
        lane.tidy(&call);
        return Ok(());
    };
    lane.wire.cancel(&call.request, "before the return");
    lane.wire.fence().await?;
    sleep(SETTLE).await;
    lane.wire.close(call.request.exchange);
    let mark = lane.wire.log.mark();
    let exchange = lane.wire.get(Some(&event));
    let ended = lane.wire.log.first(mark, ANSWER, |frame| {
        let own = frame.exchange == exchange;
        (own && matches!(frame.event, Event::Ended | Event::Lost(_))).then_some(())
    });
    let ended = ended.await.is_some();
    let result =
        lane.answers(&call.request, mark).iter().any(|answer| log::result(answer).is_some());
    match (result, ended) {
        (true, _) => lane.judge(29, Fail, "the resumed stream brought a result"),
        (false, true) => lane.judge(29, Pass, "the resumed stream ended"),
        (false, false) => {
            lane.judge(29, Warn, format!("the resumed stream was still open after {ANSWER:?}"));
        }
    }
    lane.wire.close(exchange);
    Ok(())
}

/// 30: a stranger knows the id.
pub async fn stranger(lane: &mut Lane) -> anyhow::Result<()> {
    if lane.wire.session().is_none() {
        lane.judge(30, NotApplicable, "the server has no sessions");
        return Ok(());
    }
    let call = lane.start().await?;
    let other = lane.fork().await?;
    other.wire.send(&cancelled(json!({ "requestId": call.request.id, "reason": "a stranger" })));
    other.wire.fence().await?;
    match lane.goes_on(&call).await {
        Ok(Some(how)) => lane.judge(30, Pass, how),
        Ok(None) => lane.judge(30, NotObservable, "nothing tells about the work of the call"),
        Err(how) => lane.judge(30, Fail, how),
    }
    other.wire.kill().await;
    lane.tidy(&call);
    Ok(())
}

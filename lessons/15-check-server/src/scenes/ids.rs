//! Cancels that must not hit, and cancels that must.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::finding::Verdict::{Fail, NotApplicable, NotObservable, Pass, Remark, Warn};
use crate::lane::{Call, Lane, SETTLE, plain};
use crate::target::Source;
use crate::wire::cancelled;
use crate::wire::log::{self, Event};

/// 6 and 36: of two calls one is cancelled.
pub async fn sibling(lane: &mut Lane) -> anyhow::Result<()> {
    let closing = lane.wire.cancels_by_closing();
    let one = lane.start().await?;
    let other = if closing {
        // Without sessions two callers may well use the same id.
        let call = lane.send_call(one.request.id.clone()).await;
        lane.at_work(call).await?
    } else {
        lane.start().await?
    };
    lane.wire.cancel(&one.request, "only this one");
    if closing {
        // The other's frames carry the same id. The exchange that was closed brings none any more.
        untouched(lane, 36, &other).await;
    } else {
        untouched(lane, 6, &other).await;
    }
    lane.tidy(&other);
    Ok(())
}

/// Judges whether the call still runs.
async fn untouched(lane: &mut Lane, number: u32, call: &Call) {
    match lane.goes_on(call).await {
        Ok(Some(how)) => lane.judge(number, Pass, how),
        Ok(None) => {
            lane.judge(number, NotObservable, "nothing tells about the work of the other call");
        }
        Err(how) => lane.judge(number, Fail, how),
    }
}

/// 7, 8, 9, 11, 14 and 37: cancels that change nothing.
pub async fn wrong(lane: &mut Lane) -> anyhow::Result<()> {
    let numbers: &[u32] = if lane.wire.cancels_by_closing() { &[37] } else { &[7, 8, 9, 11, 14] };
    let wanted: Vec<u32> = numbers.iter().copied().filter(|number| lane.wants(*number)).collect();
    // All at once first: a server that minds none of them is done with quickly.
    if let Ok(how) = survives(lane, &wanted).await? {
        for number in wanted {
            match &how {
                Some(how) => lane.judge(number, Pass, how),
                None => lane.judge(
                    number,
                    NotObservable,
                    "nothing tells about the work of the running call",
                ),
            }
        }
        return Ok(());
    }
    for number in wanted {
        lane.reopen().await?;
        match survives(lane, &[number]).await? {
            Ok(Some(how)) => lane.judge(number, Pass, how),
            Ok(None) => lane.judge(
                number,
                NotObservable,
                "nothing tells about the work of the running call",
            ),
            // Only a client that uses both 7 and "7" is harmed.
            Err(_) if number == 11 && lane.wire.fence().await.is_ok() => {
                lane.judge(11, Warn, "aliasing: the number's call was hit by the string");
            }
            Err(how) => lane.judge(number, Fail, format!("a running call was hit: {how}")),
        }
    }
    Ok(())
}

/// Sends these wrong cancels while a call runs. Does it go on?
async fn survives(
    lane: &mut Lane,
    numbers: &[u32],
) -> anyhow::Result<Result<Option<String>, String>> {
    let call = lane.start().await?;
    let id = &call.request.id;
    for number in numbers {
        match number {
            7 => drop(lane.wire.send(&cancelled(json!({ "requestId": 987_654_321 })))),
            8 => {
                let request = lane.wire.request("tools/list", json!({}));
                lane.wire.answer(&request, crate::wire::ANSWER).await?;
                let mark = lane.wire.log.mark();
                lane.wire.send(&cancelled(json!({ "requestId": request.id })));
                lane.wire.fence().await?;
                sleep(SETTLE).await;
                let more = lane.answers(&request, mark);
                if let Some(answer) = more.first() {
                    lane.tidy(&call);
                    return Ok(Err({
                        let again = plain(&answer.to_string());
                        format!("the finished request was answered again: {again}")
                    }));
                }
            }
            9 => {
                for bad in [
                    json!({ "reason": "no id" }),
                    json!({ "requestId": null }),
                    json!({ "requestId": { "id": id } }),
                    json!({ "requestId": true }),
                ] {
                    lane.wire.send(&cancelled(bad));
                }
            }
            11 => drop(lane.wire.send(&cancelled(json!({ "requestId": other_type(id) })))),
            14 => {
                let twice = lane.start().await?;
                lane.wire.cancel(&twice.request, "once");
                lane.wire.fence().await?;
                lane.wire.cancel(&twice.request, "and again");
            }
            _ => drop(lane.wire.send(&cancelled(json!({ "requestId": id })))),
        }
    }
    let how = lane.goes_on(&call).await;
    lane.tidy(&call);
    Ok(how)
}

/// The same id, in the other type.
fn other_type(id: &Value) -> Value {
    match id {
        Value::String(text) => text.parse::<i64>().map_or(json!(0), Value::from),
        other => json!(other.to_string()),
    }
}

/// 10: requests that are quick, each with a cancel at its heels, or a little behind. Who wins is
/// luck, so there are many rounds, and the worst counts.
pub async fn race(lane: &mut Lane) -> anyhow::Result<()> {
    const ROUNDS: usize = 5;
    const BURST: usize = 10;
    const FLUSHED: Duration = Duration::from_secs(30);
    let mark = lane.wire.log.mark();
    let mut requests = Vec::new();
    for _ in 0..ROUNDS {
        for place in 0..2 * BURST {
            let request = match &lane.setup.source {
                Source::Status(name) if place % 2 == 0 => {
                    lane.wire.request("tools/call", json!({ "name": name, "arguments": {} }))
                }
                _ => lane.wire.request("tools/list", json!({})),
            };
            // The first ones and their cancels go out in one piece, without a pause.
            if place >= BURST {
                sleep(Duration::from_millis((place - BURST) as u64)).await;
            }
            lane.wire.cancel(&request, "a race");
            requests.push(request);
        }
        lane.wire.fence().await?;
    }
    sleep(SETTLE + Duration::from_millis(200)).await;
    let answers: Vec<usize> =
        requests.iter().map(|request| lane.answers(request, mark).len()).collect();
    let most = answers.iter().max().copied().unwrap_or(0);
    let answered = answers.iter().filter(|count| **count > 0).count();
    if most > 1 {
        lane.judge(10, Fail, format!("a request was answered {most} times"));
    } else {
        let raced = requests.len();
        lane.judge(
            10,
            Pass,
            format!("of {raced} raced requests {answered} were answered, none twice"),
        );
    }
    // A bridge may pass cancels on one at a time. Those to come must not be judged by the wait
    // behind these.
    if lane.setup.source != Source::None && !lane.deaf {
        let call = lane.start().await?;
        lane.wire.cancel(&call.request, "the race is over");
        lane.outcome(&call, None, FLUSHED).await;
    }
    Ok(())
}

/// 10, over a whole scene: whether any request was answered twice.
pub fn answered_twice(lane: &mut Lane) {
    let answered = lane.wire.log.all(lane.mark, |frame| {
        let message = frame.received().filter(|message| message.get("method").is_none())?;
        message.get("id").filter(|id| !id.is_null()).cloned()
    });
    let twice = |id: &&Value| answered.iter().filter(|other| other == id).count() > 1;
    if let Some(id) = answered.iter().find(twice) {
        lane.judge(10, Fail, format!("the request {id} was answered twice"));
    }
}

/// 12: the id that is easily taken for none.
pub async fn zero(lane: &mut Lane) -> anyhow::Result<()> {
    let call = lane.send_call(json!(0)).await;
    let call = lane.at_work(call).await?;
    lane.wire.cancel(&call.request, "the id 0");
    lane.wire.fence().await?;
    let outcome = lane.outcome_on_the_wire(&call).await;
    lane.judge_stop(12, &outcome);
    Ok(())
}

/// 17: a call and its cancel in one breath.
pub async fn early(lane: &mut Lane) -> anyhow::Result<()> {
    let mut call = lane.send_call(lane.wire.next_id()).await;
    if lane.wire.is_http() {
        // Two POSTs have no order. The head of the first says that the call has arrived; a
        // server that holds it back has had its time.
        let own = call.request.exchange;
        let head = lane.wire.log.first(call.request.mark, Duration::from_millis(500), |frame| {
            (frame.exchange == own && matches!(frame.event, Event::Head(..))).then_some(())
        });
        head.await;
    }
    lane.wire.cancel(&call.request, "at once");
    lane.wire.fence().await?;
    sleep(SETTLE).await;
    // Progress would have been its sign of life; here silence is.
    call.has_progress = lane.interval.is_some();
    let known = lane.work_of_new(&mut call).await;
    call.start = None;
    let result = lane.answers(&call.request, call.request.mark);
    if result.iter().any(|answer| log::result(answer).is_some()) {
        lane.judge(17, Fail, "the call was answered with a result");
    } else if known.is_none() && lane.setup.source != Source::None && lane.would_tell().await? {
        lane.judge(17, Pass, "the call was never started");
    } else {
        let outcome = lane.outcome_on_the_wire(&call).await;
        lane.judge_stop(17, &outcome);
    }
    lane.tidy(&call);
    Ok(())
}

/// 13: a client must not do this; a server must outlive it.
pub async fn duplicate(lane: &mut Lane) -> anyhow::Result<()> {
    let first = lane.start().await?;
    let turn = lane.turn().await;
    let second = lane.send_one_of_many(first.request.id.clone());
    sleep(lane.look()).await;
    let refused = lane.answers(&second.request, second.request.mark);
    if let Err(error) = lane.wire.fence().await {
        lane.judge(13, Fail, format!("the server answers nobody any more: {error:#}"));
        return Ok(());
    }
    lane.when_listed(turn, usize::from(refused.is_empty())).await;
    lane.wire.cancel(&first.request, "both");
    lane.wire.fence().await?;
    match refused.first() {
        Some(answer) if log::error(answer).is_some() => {
            lane.judge(13, Pass, "the second call was refused");
        }
        _ if lane.deaf => lane.judge(13, Remark, "the second call was accepted"),
        _ => {
            let outcome = lane.outcome_on_the_wire(&first).await;
            lane.judge(
                13,
                Remark,
                if outcome.runs_on().is_some() {
                    "both calls ran; one cancel reached the second only, and the first runs on"
                } else {
                    "both calls were accepted, and the server lives"
                },
            );
        }
    }
    lane.wire.cancel(&second.request, "the check is over");
    Ok(())
}

/// 18: many calls, all cancelled. Is there room for one more?
pub async fn places(lane: &mut Lane) -> anyhow::Result<()> {
    if lane.setup.options.places == 0 {
        lane.judge(18, NotApplicable, "not asked for (--places 0)");
        return Ok(());
    }
    if lane.deaf {
        // Calls that nobody can stop would pile up. Asked for alone, they may.
        lane.judge(18, NotObservable, "no cancel stops this server's work, see 1; try --only 18");
        return Ok(());
    }
    let first = lane.start().await?;
    if first.has_progress && lane.interval.is_none() {
        lane.interval = Some(Duration::from_millis(1100));
    }
    let turn = lane.turn().await;
    let more = (1..lane.setup.options.places).map(|_| lane.send_one_of_many(lane.wire.next_id()));
    let calls: Vec<Call> = more.collect();
    lane.wire.fence().await?;
    lane.when_listed(turn, calls.len()).await;
    for call in calls.iter().chain([&first]) {
        lane.wire.cancel(&call.request, "many");
    }
    let n = lane.setup.options.places;
    if let Err(error) = lane.wire.fence().await {
        lane.judge(18, Fail, format!("after {n} cancelled calls nobody is answered: {error:#}"));
        return Ok(());
    }
    match lane.start().await {
        Ok(call)
            if call.has_progress || lane.work(&call).await.is_some_and(|work| work.running) =>
        {
            lane.judge(18, Pass, format!("after {n} cancelled calls a new one started"));
            lane.tidy(&call);
        }
        Ok(call) => {
            lane.judge(18, NotObservable, "nothing tells that a call has started");
            lane.tidy(&call);
        }
        Err(error) => lane.judge(18, Fail, format!("after {n} cancelled calls: {error:#}")),
    }
    Ok(())
}

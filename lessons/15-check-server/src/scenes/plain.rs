//! One call, one cancel, and everything that can be known of it.

use std::time::Duration;

use anyhow::bail;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::finding::Verdict::{Fail, NotApplicable, NotObservable, Pass, Remark, Warn};
use crate::lane::{Answers, Call, Lane, READING, SETTLE, is_progress, plain};
use crate::tree::{self, Window};
use crate::wire::log::{self, Event, Frame};
use crate::wire::{ANSWER, Revision};
use crate::work::{Outcome, STOP, new_children};

/// A tool of ten seconds has ended by now, whether it was cancelled or not.
const NATURAL_END: Duration = Duration::from_secs(12);
const MUTE: &str = "after the cancel the server answers nobody, see 5";

pub async fn play(lane: &mut Lane) -> anyhow::Result<()> {
    let Some((number, outcome)) = once(lane, true).await? else { return Ok(()) };
    // What the first call has left behind may be a helper that stays, such as a browser. A later
    // call needs no other one.
    if let Err(why) = once(lane, false).await {
        lane.deaf = true;
        lane.judge_stop(number, &outcome);
        // Not `Unfit`, whatever it was: the first call was at work.
        bail!("a second call was not served: {why:#}");
    }
    Ok(())
}

/// One call. It is judged, unless it is the first and has left processes behind: then what came of
/// it is returned, with its number.
async fn once(lane: &mut Lane, first: bool) -> anyhow::Result<Option<(u32, Outcome)>> {
    let has_session = lane.wire.is_http() && lane.wire.revision == Revision::Handshake;
    let get = if has_session { open_get(lane).await } else { None };
    let before = match &lane.tree {
        Some(tree) => Some(tree.rest(READING).await),
        None => None,
    };
    let call = lane.start().await?;

    if let Err(error) = lane.wire.fence().await {
        if let Some(how) = lane.wire.ended().await {
            lane.answers = Answers::Ended;
            lane.judge(16, Fail, format!("the server ended when the tool was called ({how})"));
            return Ok(None);
        }
        blocked(lane, &call, &format!("{error:#}")).await;
        return Ok(None);
    }
    lane.judge(16, Pass, "another request was answered while the tool ran");
    let during = match (&lane.tree, &before) {
        (Some(tree), Some(before)) => Some(tree.watch(READING, before).await),
        _ => None,
    };
    learn_interval(lane, &call).await;

    lane.still_runs(&call)?;

    // The cancel, and the fence behind it.
    let reason = format!("mcp-cancel-check {}", uuid::Uuid::new_v4());
    let mark = lane.wire.log.mark();
    let had_head = lane.wire.log.all(call.request.mark, |frame| {
        (frame.exchange == call.request.exchange && matches!(frame.event, Event::Head(..)))
            .then_some(())
    });
    lane.wire.cancel(&call.request, &reason);
    let released = Instant::now() + STOP;
    let served = lane.wire.fence().await;
    if served.is_err() {
        lane.answers = Answers::NoneAnyMore;
    }
    sleep(SETTLE).await;
    let fenced = lane.wire.log.mark();
    sleep(lane.look()).await;

    let told = !lane.wire.cancels_by_closing() && is_told(lane, &call, mark);
    if has_session {
        exchanges(lane, &call, mark).await;
    }

    // The work itself.
    let busy = before.as_ref().zip(during.as_ref());
    let mut outcome = lane.outcome(&call, busy, STOP).await;
    let steps = lane.wire.log.all(fenced, |frame| is_progress(frame, &call.token).then_some(()));
    if let (Outcome::Unknown(_), 1..) = (&outcome, steps.len()) {
        let n = steps.len();
        outcome = Outcome::RunsOn(format!("its progress went on: {n} more steps after the fence"));
    }
    let number = match (lane.wire.cancels_by_closing(), had_head.is_empty()) {
        (false, _) => 1,
        (true, false) => 33,
        (true, true) => 35,
    };
    let left = busy.map(|(before, during)| new_children(before, during)).unwrap_or_default();
    if first && left.iter().any(|(process, _)| tree::lives(*process)) {
        if let Some(get) = get {
            lane.wire.close(get);
        }
        return Ok(Some((number, outcome)));
    }
    outcome = to_its_end(lane, &call, fenced, outcome).await;
    lane.shows_stops = matches!(outcome, Outcome::Stopped(_));
    // Only now: a result may have come while the work was watched.
    if !lane.wire.cancels_by_closing() {
        what_came(lane, &call, mark, fenced);
    }
    if has_session {
        sessionless(lane, &outcome);
    }
    // Before a later call opens files of its own.
    held(lane, busy, released).await;
    serves_on(lane, served).await;
    lane.judge_stop(number, &outcome);
    if outcome.runs_on().is_some() {
        lane.deaf = true;
        let last = lane.findings.last_mut().filter(|last| last.number == number && told);
        if let Some(last) = last {
            last.false_stop = true;
            last.seen = format!("the caller was told that the call is over, but {}", last.seen);
        }
    }
    own_word(lane, &call, &outcome).await;
    the_reason(lane, &call, &reason).await;
    if has_session {
        // Last, for what comes there may come late.
        strays(lane, &call, mark, get);
    }
    Ok(None)
}

/// 5: a later request, and a later call: a lock may be held.
async fn serves_on(lane: &mut Lane, served: anyhow::Result<()>) {
    if let Err(error) = served {
        lane.judge(5, Fail, format!("after the cancel the server answers nobody: {error:#}"));
    } else if lane.interval.is_none() {
        lane.judge(5, Pass, "a later request was answered");
    } else {
        match lane.start().await {
            Ok(next) => {
                lane.judge(5, Pass, "a later call was at work");
                lane.tidy(&next);
            }
            Err(error) => lane.judge(5, Fail, format!("a later call was not served: {error:#}")),
        }
    }
}

/// The server reads nothing while its tool runs: the cancel will come too late.
async fn blocked(lane: &mut Lane, call: &Call, why: &str) {
    lane.answers = Answers::NoneAtWork;
    lane.judge(16, Fail, format!("blocked: while the tool runs nobody is answered ({why})"));
    lane.wire.cancel(&call.request, "mcp-cancel-check");
    if lane.wire.cancels_by_closing() {
        return;
    }
    let sent = lane.wire.log.mark();
    if lane.wire.answer(&call.request, NATURAL_END).await.is_ok() {
        let result =
            lane.answers(&call.request, sent).iter().any(|answer| log::result(answer).is_some());
        if result {
            lane.judge(1, Fail, "the work ran to its end: its result came after the cancel");
            lane.judge(2, Fail, "the result came all the same");
        }
    }
}

/// Opens the session's own stream, if the server offers one.
async fn open_get(lane: &Lane) -> Option<u32> {
    let exchange = lane.wire.get(None);
    let head = lane.wire.log.first(lane.mark, Duration::from_secs(2), |frame| {
        (frame.exchange == exchange).then_some(match &frame.event {
            Event::Head(status, _) => Some(*status),
            _ => None,
        })
    });
    // A server that holds the head back until there is something to say offers a stream, too.
    head.await.is_none_or(|status| status == Some(200)).then_some(exchange)
}

async fn learn_interval(lane: &mut Lane, call: &Call) {
    lane.silent = !call.has_progress;
    if lane.silent {
        return;
    }
    let times = |lane: &Lane| {
        lane.wire
            .log
            .all(call.request.mark, |frame| is_progress(frame, &call.token).then_some(frame.at))
    };
    let seen = times(lane).len();
    let mut more = 0;
    let log = lane.wire.log.clone();
    log.first(call.request.mark, Duration::from_millis(1500), |frame| {
        more += usize::from(is_progress(frame, &call.token));
        (more > seen.max(1)).then_some(())
    })
    .await;
    let times = times(lane);
    let gaps = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
    lane.interval = Some(gaps.max().unwrap_or(Duration::from_millis(1100)));
}

/// Whether the caller was told that the call is over. A result tells something else.
fn is_told(lane: &Lane, call: &Call, mark: usize) -> bool {
    match lane.answers(&call.request, mark).first() {
        Some(answer) => log::error(answer).is_some(),
        None => lane.wire.is_http() && has_ended(lane, call, mark),
    }
}

/// Work that is done to its end does not look different from work that was stopped. Its result
/// does. What comes at once is another matter: a tool may answer because it was cancelled.
async fn to_its_end(lane: &Lane, call: &Call, fenced: usize, outcome: Outcome) -> Outcome {
    let came = lane.answers(&call.request, fenced);
    let done = |answer: &Value| log::result(answer).is_some_and(|result| result["isError"] != true);
    if outcome.runs_on().is_some() || !came.iter().any(done) {
        return outcome;
    }
    let word = timeout(ANSWER, lane.work(call)).await.ok().flatten();
    if word.is_some_and(|word| word.state == "cancelled") {
        return outcome;
    }
    Outcome::RunsOn("its result came after the cancel: it ran to its end".to_owned())
}

/// Results, errors and progress after the cancel.
fn what_came(lane: &mut Lane, call: &Call, mark: usize, fenced: usize) {
    let answers = lane.answers(&call.request, mark);
    let results = answers.iter().filter(|answer| log::error(answer).is_none()).count();
    match results {
        0 => lane.judge(2, Pass, "none came"),
        n => lane.judge(2, Fail, format!("{n} came")),
    }
    let http = lane.wire.is_http();
    let error = answers.iter().find_map(log::error);
    let says = |error: &Value| {
        format!("code {}: {}", error["code"], plain(error["message"].as_str().unwrap_or("")))
    };
    match error {
        None => lane.judge(3, Pass, "none came"),
        Some(error) if http && error["code"] == -32800 => {
            lane.judge(3, Remark, format!("{} (it ends the POST, see 27)", says(error)));
        }
        Some(error) => lane.judge(3, Warn, format!("one came, {}", says(error))),
    }
    if answers.len() > 1 {
        lane.judge(10, Fail, format!("the cancelled call was answered {} times", answers.len()));
    }
    let after =
        lane.wire.log.all(fenced, |frame| is_progress(frame, &call.token).then_some(())).len();
    match (after, call.has_progress) {
        (0, true) => lane.judge(4, Pass, "none came"),
        (0, false) => lane.judge(4, NotObservable, "the tool reports no progress"),
        (n, _) => lane.judge(4, Fail, format!("{n} notifications came after the fence")),
    }
}

fn has_ended(lane: &Lane, call: &Call, mark: usize) -> bool {
    let ended = lane.wire.log.all(mark, |frame| {
        let own = frame.exchange == call.request.exchange;
        (own && matches!(frame.event, Event::Ended | Event::Lost(_))).then_some(())
    });
    !ended.is_empty()
}

/// HTTP 2025-11-25: what each exchange carried.
async fn exchanges(lane: &mut Lane, call: &Call, mark: usize) {
    // 26: the exchange of the cancel itself.
    let is_cancel = |frame: &Frame| match &frame.event {
        Event::Sent(message) if message["method"] == "notifications/cancelled" => {
            Some(frame.exchange)
        }
        _ => None,
    };
    if let Some(exchange) = lane.wire.log.all(mark, is_cancel).first().copied() {
        let mut status = None;
        let mut body = false;
        let log = lane.wire.log.clone();
        let over = log.first(mark, ANSWER, |frame| {
            if frame.exchange != exchange {
                return None;
            }
            match &frame.event {
                Event::Head(code, _) => status = Some(*code),
                Event::Received(..) | Event::Garbage(_) => body = true,
                Event::Ended | Event::Lost(_) => return Some(()),
                _ => {}
            }
            None
        });
        let over = over.await.is_some();
        match status {
            Some(202) if !body && over => lane.judge(26, Pass, "202, empty"),
            Some(202) if over => lane.judge(26, Fail, "202, but with a body"),
            Some(202) => {
                lane.judge(26, Fail, format!("202, but its body did not end within {ANSWER:?}"));
            }
            Some(code) => lane.judge(26, Fail, format!("status {code}")),
            None => lane.judge(26, Fail, format!("no answer within {ANSWER:?}")),
        }
    }
    // 27: the exchange of the call.
    let ended = has_ended(lane, call, mark);
    let answers = lane.answers(&call.request, mark);
    match (ended, answers.first()) {
        (true, None) => lane.judge(27, Pass, "it was closed without an answer"),
        (true, Some(answer)) => {
            let end = log::error(answer)
                .map_or("a result".to_owned(), |error| format!("the error {}", error["code"]));
            lane.judge(27, Remark, format!("it ended with {end}"));
        }
        (false, _) => lane.judge(27, Warn, "it stays open: a caller who waits waits for ever"),
    }
}

/// 32: without a session only luck brings a cancel to its call.
fn sessionless(lane: &mut Lane, outcome: &Outcome) {
    if lane.wire.session().is_some() {
        lane.judge(32, NotApplicable, "the server has sessions");
        return;
    }
    match outcome {
        Outcome::Stopped(how) => lane.judge(32, Pass, how),
        Outcome::RunsOn(how) | Outcome::Denied(how) => {
            let no_effect = "this server has no sessions, and its cancel has no effect";
            lane.judge(32, Warn, format!("{no_effect}: {how}"));
        }
        Outcome::Unknown(why) => lane.judge(32, NotObservable, why),
    }
}

/// 31: what came on the session's own stream.
fn strays(lane: &mut Lane, call: &Call, mark: usize, get: Option<u32>) {
    match get {
        None => lane.judge(31, NotApplicable, "the server offers no GET stream"),
        Some(get) => {
            let strays = lane.wire.log.all(mark, |frame| {
                let ours =
                    is_progress(frame, &call.token) || frame.answer_to(&call.request.id).is_some();
                (frame.exchange == get && ours).then_some(())
            });
            match strays.len() {
                0 => lane.judge(31, Pass, "nothing came there"),
                n => lane.judge(31, Fail, format!("{n} messages of the cancelled call came there")),
            }
            lane.wire.close(get);
        }
    }
}

/// 19: compares what the server says with what can be seen.
async fn own_word(lane: &mut Lane, call: &Call, outcome: &Outcome) {
    if lane.answers == Answers::NoneAnyMore {
        lane.judge(19, NotObservable, MUTE);
        return;
    }
    if let Outcome::Denied(how) = outcome {
        lane.judge(19, Fail, how);
        return;
    }
    match timeout(ANSWER, lane.work(call)).await.ok().flatten() {
        Some(word) => match word.unknown_state() {
            Some(unknown) => lane.judge(19, NotObservable, unknown),
            None => lane.judge(19, Pass, "its word agrees with its steps"),
        },
        None => lane.judge(
            19,
            NotObservable,
            "it says nothing of this call's work: add a status tool or the probe",
        ),
    }
}

/// 15: the reason.
async fn the_reason(lane: &mut Lane, call: &Call, reason: &str) {
    if lane.wire.cancels_by_closing() {
        lane.judge(15, NotApplicable, "a closed stream carries no reason");
        return;
    }
    let logged = lane.wire.log.all(0, |frame| match &frame.event {
        Event::Stderr(text) if text.contains(reason) => Some(()),
        _ => None,
    });
    let known = timeout(ANSWER, lane.work(call)).await.ok().flatten();
    match known.map(|work| work.reason) {
        Some(Some(kept)) if kept == reason => lane.judge(15, Pass, "the tool knows it"),
        _ if !logged.is_empty() => lane.judge(15, Pass, "the server's log has it"),
        Some(Some(other)) => lane.judge(15, Warn, format!("it was replaced by: {}", plain(&other))),
        Some(None) => lane.judge(15, Warn, "it was lost"),
        None if lane.answers == Answers::NoneAnyMore => lane.judge(15, NotObservable, MUTE),
        None => lane.judge(
            15,
            NotObservable,
            "nothing tells: log the reason, or add a status tool or the probe",
        ),
    }
}

/// 20: what the call has opened and not closed. It may take as long as the work to be released.
async fn held(lane: &mut Lane, busy: Option<(&Window, &Window)>, until: Instant) {
    let (Some(tree), Some((before, during))) = (&lane.tree, busy) else {
        lane.judge(20, NotObservable, "the server's processes cannot be seen: give --pid");
        return;
    };
    let children = new_children(before, during);
    let files: Vec<_> = during.last.files.difference(&before.last.files).cloned().collect();
    let connections = &during.last.connections;
    let (orphans, files_left, connected) = loop {
        let now = tree.sample(Some(&before.last));
        let orphans = children.iter().filter(|(process, _)| tree::lives(*process)).count();
        let files_left = files.iter().filter(|file| now.files.contains(*file)).count();
        let connected = connections.iter().filter(|end| now.connections.contains(*end)).count();
        if orphans + files_left + connected == 0 || Instant::now() > until {
            break (orphans, files_left, connected);
        }
        sleep(SETTLE).await;
    };
    let opened = children.len() + files.len() + connections.len();
    if orphans > 0 {
        lane.judge(20, Fail, format!("{orphans} of {} child processes still live", children.len()));
    } else if files_left + connected > 0 {
        lane.judge(20, Warn, format!(
            "{files_left} files and {connected} connections that the call opened are still open; \
             ask the backend whether it works on"
        ));
    } else if opened == 0 {
        lane.judge(20, NotObservable, "the call opened no process, file or connection");
    } else {
        lane.judge(
            20,
            Pass,
            format!(
                "gone: {} processes, {} files, {} connections",
                children.len(),
                files.len(),
                connections.len()
            ),
        );
    }
}

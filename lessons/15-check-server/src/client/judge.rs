//! What the client did, judged: behaviours 50 to 57.

use std::time::Duration;

use serde_json::Value;

use super::{Seen, Stage, What};
use crate::finding::Finding;
use crate::finding::Verdict::{self, Fail, NotApplicable, NotObservable, Pass, Remark, Warn};
use crate::lane::plain;
use crate::wire::Revision;

/// A caller that is free goes on within this time.
const PROMPT: Duration = Duration::from_secs(5);

/// A call that the client made, and the place where it did.
struct Call<'a> {
    place: usize,
    who: &'a str,
    id: &'a Value,
}

pub fn judge(stage: &Stage) -> Vec<Finding> {
    let seen = stage.all_seen();
    let lane = stage.lane();
    let frames = stage.log.since(0);
    let by_closing = stage.http && stage.revision() == Revision::Stateless;
    let verdicts = [
        (50, if by_closing { not_here() } else { cancelled(&seen, "cancel_me") }),
        (51, timed_out(&seen, by_closing)),
        (52, initialize(&seen, stage.revision())),
        (53, finished(&seen)),
        (54, if by_closing { not_here() } else { unknown(&seen) }),
        (55, if by_closing { not_here() } else { late(&seen) }),
        (56, free(&seen)),
        (57, if by_closing { closed(&seen, "cancel_me") } else { elsewhere() }),
    ];
    let finding = |(number, (verdict, seen)): (u32, (Verdict, String))| Finding {
        number,
        lane: lane.clone(),
        verdict,
        seen,
        false_stop: false,
        exchange: frames.clone(),
    };
    verdicts.into_iter().map(finding).collect()
}

type Judged = (Verdict, String);

fn not_here() -> Judged {
    (NotApplicable, "here a closed stream is the cancel: see 57".to_owned())
}

fn elsewhere() -> Judged {
    (NotApplicable, "only HTTP 2026-07-28 cancels by closing".to_owned())
}

fn not_called(tool: &str) -> Judged {
    (NotObservable, format!("the client did not call `{tool}`"))
}

fn calls<'a>(seen: &'a [Seen], wanted: &str) -> Vec<Call<'a>> {
    let call = |(place, one): (usize, &'a Seen)| match &one.what {
        What::Request { id, tool, .. } if tool == wanted => Some(Call { place, who: &one.who, id }),
        _ => None,
    };
    seen.iter().enumerate().filter_map(call).collect()
}

/// The cancels of this call, with their reasons.
fn cancels<'a>(seen: &'a [Seen], call: &Call) -> Vec<(usize, &'a Option<String>)> {
    let cancel = |(place, one): (usize, &'a Seen)| match &one.what {
        What::Cancel { id, reason } if one.who == call.who && id == call.id => {
            Some((place, reason))
        }
        _ => None,
    };
    seen.iter().enumerate().filter_map(cancel).collect()
}

/// 50
fn cancelled(seen: &[Seen], tool: &str) -> Judged {
    let calls = calls(seen, tool);
    for call in &calls {
        let cancels = cancels(seen, call);
        match cancels.len() {
            0 => {
                return (
                    Fail,
                    "the call was abandoned without a cancel: the server works on".to_owned(),
                );
            }
            1 => {}
            n => return (Warn, format!("{n} cancels were sent for one call")),
        }
    }
    let Some(last) = calls.last() else { return not_called(tool) };
    match cancels(seen, last).first() {
        Some((_, Some(reason))) => (Pass, format!("one cancel, reason: {}", plain(reason))),
        _ => (Pass, "one cancel, without a reason".to_owned()),
    }
}

/// 57, and 51 where a closed stream is the cancel.
fn closed(seen: &[Seen], tool: &str) -> Judged {
    let calls = calls(seen, tool);
    for call in &calls {
        if !cancels(seen, call).is_empty() {
            return (Fail, "a cancel was POSTed: there is no such notification here".to_owned());
        }
        let closed = seen[call.place..].iter().any(|one| {
            one.who == call.who && matches!(&one.what, What::Closed { id } if id == call.id)
        });
        if !closed {
            return (Fail, "the stream was left open: the server works on".to_owned());
        }
    }
    if calls.is_empty() { not_called(tool) } else { (Pass, "the stream was closed".to_owned()) }
}

/// 51: the timeout; whether progress resets it, and the limit on the whole, if the client shows
/// them. The worst counts.
fn timed_out(seen: &[Seen], by_closing: bool) -> Judged {
    let parts = [given_up(seen, by_closing)].into_iter().chain(reset(seen)).chain(capped(seen));
    let parts: Vec<Judged> = parts.collect();
    let worst = parts.iter().map(|(verdict, _)| *verdict).max().unwrap_or(NotObservable);
    let seen = parts.into_iter().map(|(_, seen)| seen).collect::<Vec<_>>();
    (worst, seen.join("; "))
}

/// How long after its start the call was cancelled, by a message or by a closed stream.
fn cancelled_after(seen: &[Seen], call: &Call) -> Option<Duration> {
    let end = seen[call.place..].iter().find(|one| {
        one.who == call.who
            && match &one.what {
                What::Cancel { id, .. } | What::Closed { id } => id == call.id,
                _ => false,
            }
    });
    Some(end?.at.saturating_duration_since(seen[call.place].at))
}

/// Whether progress resets the timeout. A client may do so.
fn reset(seen: &[Seen]) -> Option<Judged> {
    let calls = calls(seen, "keep_alive");
    let call = calls.last()?;
    let answered = |one: &Seen| {
        matches!(&one.what, What::Answered { id } if id == call.id) && one.who == call.who
    };
    Some(if cancelled_after(seen, call).is_some() {
        (Remark, "progress does not reset it, which the specification leaves open".to_owned())
    } else if seen.iter().any(answered) {
        (Pass, "progress resets it".to_owned())
    } else {
        (Fail, "a call that reported progress was given up without a cancel".to_owned())
    })
}

/// Whether progress can keep a call alive for ever. A client should have a limit.
fn capped(seen: &[Seen]) -> Option<Judged> {
    let calls = calls(seen, "never_end");
    let after = cancelled_after(seen, calls.last()?);
    Some(match after {
        Some(after) => (Pass, format!("with progress it ended after {:.1} s", after.as_secs_f64())),
        None => (Warn, "a call that reports progress was never cancelled".to_owned()),
    })
}

fn given_up(seen: &[Seen], by_closing: bool) -> Judged {
    let calls = calls(seen, "time_out");
    let Some(call) = calls.last() else { return not_called("time_out") };
    if by_closing {
        return closed(seen, "time_out");
    }
    match cancels(seen, call).first() {
        Some((place, _)) => {
            let waited = seen[*place].at.saturating_duration_since(seen[call.place].at);
            (Pass, format!("cancelled after {:.1} s", waited.as_secs_f64()))
        }
        None => (Fail, "the client gave up without a cancel: the server works on".to_owned()),
    }
}

/// 52
fn initialize(seen: &[Seen], revision: Revision) -> Judged {
    if revision == Revision::Stateless {
        return (NotApplicable, "this revision has no handshake".to_owned());
    }
    let handshakes: Vec<_> = seen
        .iter()
        .filter_map(|one| match &one.what {
            What::Request { id, method, .. } if method == "initialize" => Some(id),
            _ => None,
        })
        .collect();
    let named =
        |one: &Seen| matches!(&one.what, What::Cancel { id, .. } if handshakes.contains(&id));
    if seen.iter().any(named) {
        (Fail, "the handshake was cancelled".to_owned())
    } else {
        (Pass, "no cancel named it".to_owned())
    }
}

/// 53
fn finished(seen: &[Seen]) -> Judged {
    for (place, one) in seen.iter().enumerate() {
        let What::Answered { id } = &one.what else { continue };
        let same = |other: &Seen| {
            other.who == one.who
                && matches!(&other.what, What::Cancel { id: named, .. } if named == id)
        };
        // An answer to a call that was cancelled before is our doing.
        if seen[place..].iter().any(same) && !seen[..place].iter().any(same) {
            return (Fail, format!("a cancel named the request {id}, which had been answered"));
        }
    }
    if calls(seen, "answer").is_empty() {
        return not_called("answer");
    }
    (Pass, "no cancel followed an answer".to_owned())
}

/// 54
fn unknown(seen: &[Seen]) -> Judged {
    let mut cancels = 0;
    for (place, one) in seen.iter().enumerate() {
        let What::Cancel { id, .. } = &one.what else { continue };
        cancels += 1;
        let sent = seen[..place].iter().any(|other| {
            matches!(&other.what, What::Request { id: used, .. } if used == id && other.who == one.who)
        });
        if !sent {
            return (
                Fail,
                format!("a cancel named {}, which no request had used", plain(&id.to_string())),
            );
        }
    }
    if cancels == 0 {
        return (NotObservable, "the client sent no cancel".to_owned());
    }
    (Pass, format!("{cancels} cancels, each for a call that was sent"))
}

/// The first thing that the client did of its own accord after this place.
fn next_step<'a>(seen: &'a [Seen], place: usize, who: &str) -> Option<&'a Seen> {
    let own = |one: &&Seen| one.who == who && matches!(one.what, What::Request { .. });
    seen[place + 1..].iter().find(own)
}

/// 55
fn late(seen: &[Seen]) -> Judged {
    let calls = calls(seen, "answer_late");
    let Some(call) = calls.last() else { return not_called("answer_late") };
    let answered = seen.iter().position(|one| {
        one.who == call.who && matches!(&one.what, What::Answered { id } if id == call.id)
    });
    let Some(answered) = answered else {
        return (
            NotObservable,
            "no late answer could be sent: the call was not cancelled".to_owned(),
        );
    };
    if next_step(seen, answered, call.who).is_some() {
        return (Pass, "the client went on with another request".to_owned());
    }
    (Fail, "the client sent no request after the late answer".to_owned())
}

/// 56
fn free(seen: &[Seen]) -> Judged {
    let calls = calls(seen, "cancel_me");
    let Some(call) = calls.last() else { return not_called("cancel_me") };
    let stop = seen.iter().position(|one| {
        one.who == call.who
            && match &one.what {
                What::Cancel { id, .. } | What::Closed { id } => id == call.id,
                _ => false,
            }
    });
    let Some(stop) = stop else {
        return (NotObservable, "the call was not cancelled".to_owned());
    };
    match next_step(seen, stop, call.who) {
        Some(next) => {
            let took = next.at.saturating_duration_since(seen[stop].at);
            let text = format!("it went on after {:.1} s", took.as_secs_f64());
            (if took > PROMPT { Fail } else { Pass }, text)
        }
        None => {
            (NotObservable, "the client did nothing more: make it call another tool".to_owned())
        }
    }
}

//! What a person sees: bars, a timeline, and a serving terminal's news.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use rmcp::model::RequestId;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use shared::calls::{CallRecord, State};

use crate::exercise;

const BAR: usize = 10;
const LINE: usize = 40;

/// A progress bar: `███░░░░░░░`.
pub fn bar(done: f64, total: f64) -> String {
    let share = if total > 0.0 { (done / total).clamp(0.0, 1.0) } else { 0.0 };
    let full = (0..BAR).filter(|cell| share * BAR as f64 >= *cell as f64 + 0.5).count();
    "█".repeat(full) + &"░".repeat(BAR - full)
}

/// How a call ended, in words.
pub fn outcome(call: &CallRecord) -> String {
    let (done, total) = (call.steps_done, call.steps_total);
    match call.state {
        State::Running => format!("still running, {done} of {total} steps"),
        State::Finished => format!("finished, {done} of {total} steps"),
        State::Cancelled => format!("cancelled after {done} of {total} steps"),
        State::Failed => format!("failed after {done} of {total} steps"),
    }
}

/// A picture of some calls, one row each: when it ran, when its cancel was sent (✂), when
/// it stopped (■ cancelled, ● finished, ✖ failed). The times of the work are the server's,
/// the times of the cancels the client's; on one machine that is one clock.
pub fn timeline(calls: &[CallRecord], cancels: &[(RequestId, DateTime<Utc>)]) -> String {
    // In an exercise the clock may stand still: then there are no times to show.
    if exercise::under_way() {
        return String::new();
    }
    let Some(start) = calls.iter().map(|call| call.started_at).min() else {
        return String::new();
    };
    let end_of = |call: &CallRecord| call.ended_at.unwrap_or_else(Utc::now);
    let end = calls.iter().map(end_of).max().unwrap_or(start);
    let span = (end - start).as_seconds_f64().max(0.001);
    let column = |time: DateTime<Utc>| {
        let share = (time - start).as_seconds_f64() / span;
        (0..LINE - 1).filter(|cell| share * (LINE - 1) as f64 >= *cell as f64 + 0.5).count()
    };
    let mut picture =
        format!("   {:12}0 s{:>width$}\n", "", format!("{span:.1} s"), width = LINE - 3);
    let several = calls.iter().any(|call| call.tool != calls[0].tool);
    for call in calls {
        // At least two cells, so that a cancel and its stop both show.
        let from = column(call.started_at).min(LINE - 2);
        let to = column(end_of(call)).max(from + 1);
        let mut line = vec![' '; LINE];
        line[from..=to].fill('█');
        line[to] = match call.state {
            State::Running => '…',
            State::Finished => '●',
            State::Cancelled => '■',
            State::Failed => '✖',
        };
        if let Some((_, sent)) = cancels.iter().find(|(id, _)| *id == call.request_id) {
            line[column(*sent).clamp(from, to - 1)] = '✂';
        }
        let line: String = line.into_iter().collect();
        let tool = if several { format!("{} ", call.tool) } else { String::new() };
        let id = format!("request {}", call.request_id);
        let _ = writeln!(picture, "   {id:12}{line}  {tool}{}", outcome(call));
    }
    picture
}

/// Prints the news of a serving terminal, for as long as it serves.
pub async fn watch(mut changes: Receiver<CallRecord>, print: fn(&str)) {
    loop {
        match changes.recv().await {
            Ok(call) => print(&news(&call)),
            Err(RecvError::Lagged(missed)) => print(&format!("   … {missed} lines not shown")),
            Err(RecvError::Closed) => return,
        }
    }
}

fn news(call: &CallRecord) -> String {
    let (number, id, tool) = (call.call, &call.request_id, &call.tool);
    let mark = match (call.state, call.steps_done) {
        (State::Running, 0) => {
            let steps = call.steps_total;
            return format!("▶️  call {number}, request {id}: {tool} starts, {steps} steps");
        }
        (State::Running, done) => {
            let bar = bar(f64::from(done), f64::from(call.steps_total));
            return format!("   call {number}: {bar} step {done} of {}", call.steps_total);
        }
        (State::Finished, _) => "✅",
        (State::Cancelled, _) => "🛑",
        (State::Failed, _) => "❌",
    };
    let reason = match (&call.reason, call.state) {
        (Some(reason), _) => format!(", reason: {reason}"),
        (None, State::Cancelled) => ", no reason given".to_owned(),
        (None, _) => String::new(),
    };
    format!("{mark} call {number}, request {id}: {tool} {}{reason}", outcome(call))
}

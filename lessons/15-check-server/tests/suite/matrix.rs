//! The checker can fail: every behaviour is caught by a server that is wrong in just that way,
//! and a healthy server is never accused.

use std::sync::Mutex;
use std::thread;

use crate::support::{Practice, Report, check};

/// A behaviour, the flaw that breaks it, where, and what the verdict must be.
type Case = (u32, &'static str, Way, &'static str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Stdio,
    Http2025,
    Http2026,
    /// HTTP 2026-07-28 with answers in one piece.
    OnePiece,
    Stdio2026,
}
use Way::{Http2025, Http2026, OnePiece, Stdio, Stdio2026};

const MATRIX: &[Case] = &[
    (1, "deaf", Stdio, "fail"),
    (1, "false-stop", Stdio, "fail"),
    (1, "false-stop", Http2025, "fail"),
    (1, "misspells", Stdio, "not observable"),
    // It answers at once, with a result, and its work has stopped.
    (1, "answers-anyway", Stdio, "pass"),
    (2, "answers-anyway", Stdio, "fail"),
    (3, "error-anyway", Stdio, "warn"),
    (4, "chatty", Stdio, "fail"),
    (4, "chatty", Stdio2026, "fail"),
    (5, "hangs-up", Stdio, "fail"),
    (5, "only-once", Stdio, "fail"),
    (6, "clumsy", Stdio, "fail"),
    (6, "clumsy", Http2025, "fail"),
    (7, "unknown-kills", Stdio, "fail"),
    (8, "finished-kills", Stdio, "fail"),
    (9, "malformed-kills", Stdio, "fail"),
    (10, "answers-twice", Stdio, "fail"),
    (11, "untyped-ids", Stdio, "warn"),
    (12, "zero-deaf", Stdio, "fail"),
    (13, "duplicate-dies", Stdio, "fail"),
    (14, "second-cancel-kills", Stdio, "fail"),
    (15, "forgetful", Stdio, "warn"),
    (16, "blocked", Stdio, "fail"),
    (16, "dies", Stdio, "fail"),
    (17, "early-deaf", Stdio, "fail"),
    (18, "leaky", Stdio, "fail"),
    (19, "liar", Stdio, "fail"),
    (19, "unlisted", Stdio, "not observable"),
    (19, "misspells", Stdio, "not observable"),
    // It answers nobody after a cancel, so its word on the work is none.
    (19, "hangs-up", Stdio, "not observable"),
    (21, "lingers", Stdio, "warn"),
    (22, "hasty", Stdio, "warn"),
    (23, "answers-at-the-end", Stdio, "fail"),
    (24, "delete-deaf", Http2025, "fail"),
    (25, "waits-for-its-reader", Stdio, "warn"),
    (26, "cancel-talks", Http2025, "fail"),
    (26, "cancel-hangs", Http2025, "fail"),
    (27, "never-ends", Http2025, "warn"),
    (28, "lost-is-cancelled", Http2025, "warn"),
    (29, "resume-hangs", Http2025, "warn"),
    (29, "resume-delivers", Http2025, "fail"),
    (30, "any-session", Http2025, "fail"),
    (31, "moves-to-get", Http2025, "fail"),
    (32, "sessionless", Http2025, "warn"),
    (33, "stream-deaf", Http2026, "fail"),
    (34, "first-byte-deaf", Http2026, "fail"),
    (35, "one-piece-deaf", OnePiece, "fail"),
    (36, "stream-clumsy", Http2026, "fail"),
    (37, "posted-cancel-hits", Http2026, "fail"),
    (39, "listen-talks", Stdio2026, "fail"),
    (41, "cancels-our-calls", Stdio2026, "fail"),
    (42, "listen-lingers", Stdio2026, "warn"),
    (43, "task-ack-talks", Http2026, "fail"),
    (44, "task-never-settles", Http2026, "fail"),
    (44, "task-rises", Stdio2026, "fail"),
    (45, "task-unknown-fine", Http2026, "fail"),
    (46, "task-end-changes", Http2026, "fail"),
    (47, "task-uninvited", Http2026, "fail"),
    (48, "task-sleeps-on", Http2026, "fail"),
    (49, "task-cancelled-by-request", Stdio2026, "fail"),
];

/// The processes are watched through /proc.
#[cfg(target_os = "linux")]
const WATCHED: &[Case] = &[
    (1, "computes-on", Stdio, "fail"),
    (19, "computes-on", Stdio, "fail"),
    (1, "finishes", Stdio, "fail"),
    (2, "finishes", Stdio, "fail"),
    (20, "messy", Stdio, "fail"),
];
#[cfg(not(target_os = "linux"))]
const WATCHED: &[Case] = &[];

fn play(way: Way, flags: &[&str], only: &[u32]) -> Report {
    let mut flags = flags.to_vec();
    let protocol = if matches!(way, Stdio | Http2025) { "2025-11-25" } else { "2026-07-28" };
    let mut checker = check();
    checker.args(["--json", "--limit", "120", "--protocol", protocol]);
    if !only.is_empty() {
        let only = only.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        checker.args(["--only", &only]);
    }
    if matches!(way, Stdio | Stdio2026) {
        checker.args(["--", crate::support::BINARY, "practice"]).args(flags);
        return Report::of(&mut checker);
    }
    if way == OnePiece {
        flags.push("--one-piece");
    }
    let server = Practice::http(&flags);
    checker.arg(&server.url);
    Report::of(&mut checker)
}

#[test]
fn every_flaw_is_caught_by_its_number() {
    // Those that are watched take longest, so they come first.
    let cases = Mutex::new(WATCHED.iter().chain(MATRIX).rev().collect::<Vec<_>>());
    let missed = Mutex::new(Vec::new());
    // Most of the time a case waits.
    thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                loop {
                    let next = cases.lock().unwrap().pop();
                    let Some(&(number, flaw, way, expected)) = next else { return };
                    let mut flags = vec!["--wrong", flaw];
                    if flaw == "finishes" || (flaw == "computes-on" && number == 1) {
                        flags.extend(["--tells", "nothing"]);
                    }
                    let report = play(way, &flags, &[number]);
                    let verdict = report.verdict(number);
                    let failed = report.code == Some(1);
                    if verdict != expected || failed != (expected == "fail") {
                        missed.lock().unwrap().push(format!(
                            "{number}, {flaw}, {way:?}: {verdict} instead of {expected}, exit {:?}\n{}",
                            report.code, report.json
                        ));
                    }
                    if flaw == "false-stop" && !report.finding(1)["false_stop"].as_bool().unwrap() {
                        missed.lock().unwrap().push(format!("{way:?}: no false stop"));
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// Numbers that are looked at together, a server, and the verdict on all of them.
type Known = (&'static [u32], Way, &'static [&'static str], &'static str);

/// What is known of a server, and what is not. A verdict that rests on nothing is none.
const KNOWN: &[Known] = &[
    // Silence alone is never a pass.
    (&[1, 12, 17, 19], Stdio, &["--tells", "nothing"], "not observable"),
    (&[1, 12, 17, 19], Stdio, &[], "pass"),
    // A server that streams has sent its first byte before anybody can be gone.
    (&[34], Http2026, &[], "not applicable"),
    (&[34], OnePiece, &[], "pass"),
    #[cfg(target_os = "linux")]
    (&[20], Stdio, &["--tells", "nothing"], "pass"),
    // What its first call starts, and no other, is no work that goes on.
    #[cfg(target_os = "linux")]
    (&[1, 5, 20], Stdio, &["--helped"], "pass"),
    #[cfg(target_os = "linux")]
    (&[16, 20], Stdio2026, &["--helped"], "pass"),
    // If there is no second call, nothing says that it is a helper.
    #[cfg(target_os = "linux")]
    (&[1], Stdio, &["--helped", "--wrong", "only-once"], "fail"),
];

#[test]
fn no_verdict_rests_on_nothing() {
    let wrong: Vec<String> = thread::scope(|scope| {
        let one = |&(numbers, way, flags, expected): &Known| {
            scope.spawn(move || {
                let report = play(way, flags, numbers);
                let found = numbers.iter().map(|number| report.finding(*number).clone());
                found.filter(|found| found["verdict"] != expected).collect::<Vec<_>>()
            })
        };
        let all: Vec<_> = KNOWN.iter().map(one).collect();
        let wrong = all.into_iter().flat_map(|one| one.join().unwrap());
        wrong.map(|found| found.to_string()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What no round may say of a healthy server. Remarks are what the specification leaves open.
fn accusations(way: Way, flags: &[&str]) -> Vec<String> {
    let report = play(way, flags, &[]);
    report.accusations().map(|finding| format!("{way:?} {flags:?}: {finding}")).collect()
}

fn rounds(count: usize) {
    let healthy: [(Way, &[&str]); 9] = [
        (Stdio, &[]),
        (Stdio2026, &[]),
        (Http2025, &[]),
        (Http2026, &[]),
        (OnePiece, &[]),
        (Http2026, &["--parks"]),
        (Stdio, &["--tells", "probe"]),
        (Stdio, &["--tells", "nothing"]),
        (Http2025, &["--tells", "nothing"]),
    ];
    for round in 0..count {
        let accused: Vec<String> = thread::scope(|scope| {
            let all = healthy.map(|(way, flags)| scope.spawn(move || accusations(way, flags)));
            all.into_iter().flat_map(|one| one.join().unwrap()).collect()
        });
        assert!(accused.is_empty(), "round {round}:\n{}", accused.join("\n"));
    }
}

#[test]
fn a_healthy_server_is_not_accused() {
    rounds(1);
}

#[test]
#[ignore = "takes some minutes, see .ci/run"]
fn a_healthy_server_is_not_accused_in_twenty_rounds() {
    rounds(20);
}

//! The story passes wherever it can be told, and fails, by its own sentence, against
//! servers that are wrong on purpose.

use std::time::Duration;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::str::contains;

const HTTP_2025: &str = "--transport http --protocol 2025-11-25";
const HTTP_2026: &str = "--transport http --protocol 2026-07-28";
const STDIO_2025: &str = "--transport stdio --protocol 2025-11-25";
const STDIO_2026: &str = "--transport stdio --protocol 2026-07-28";
const EVERYWHERE: [&str; 4] = [HTTP_2025, HTTP_2026, STDIO_2025, STDIO_2026];

fn play(way: &str, options: &str) -> Assert {
    let mut lesson = Command::new(env!("CARGO_BIN_EXE_basic-cancel"));
    lesson.args(way.split(' ')).args(options.split(' ')).timeout(Duration::from_secs(60)).assert()
}

fn passes(way: &str) {
    play(way, "--tick 100ms").success().stdout(contains("every claim held"));
}

fn fails(way: &str, options: &str, sentence: &str) {
    play(way, options).code(1).stderr(contains(sentence));
}

#[test]
fn passes_on_http_2025_11_25() {
    passes(HTTP_2025);
}

#[test]
fn passes_on_http_2026_07_28() {
    passes(HTTP_2026);
}

#[test]
fn passes_on_stdio_2025_11_25() {
    passes(STDIO_2025);
}

#[test]
fn passes_on_stdio_2026_07_28() {
    passes(STDIO_2026);
}

#[test]
fn notices_a_server_that_does_not_stop() {
    for way in EVERYWHERE {
        fails(way, "--tick 300ms --wrong deaf", "the server did not stop");
    }
}

#[test]
fn notices_a_server_that_stops_too_late() {
    for way in EVERYWHERE {
        fails(way, "--tick 300ms --wrong slow", "the server did not stop");
    }
}

#[test]
fn notices_a_server_that_finishes_instead() {
    // On HTTP 2026-07-28 such a server cannot get to its end: its progress has nowhere to go.
    for way in [HTTP_2025, STDIO_2025, STDIO_2026] {
        fails(way, "--tick 20ms --wrong deaf", "the server did not cancel: its call finished");
    }
}

#[test]
fn notices_a_server_that_works_on_for_some_steps() {
    for way in [HTTP_2025, STDIO_2025, STDIO_2026] {
        fails(way, "--tick 100ms --wrong sluggish", "the server worked on");
    }
}

#[test]
fn notices_a_lost_reason() {
    for way in [HTTP_2025, STDIO_2025, STDIO_2026] {
        fails(way, "--tick 20ms --wrong forgetful", "the reason was lost");
    }
}

#[test]
fn notices_a_connection_that_is_lost_with_the_call() {
    fails(HTTP_2025, "--tick 20ms --wrong stuck", "the connection did not survive the cancel");
}

#[test]
fn notices_a_connection_that_is_lost_with_the_call_on_stdio() {
    fails(STDIO_2026, "--tick 20ms --wrong stuck", "the connection did not survive the cancel");
}

#[test]
fn notices_progress_after_the_cancel() {
    // On HTTP 2026-07-28 the stream that would carry it is closed.
    for way in [HTTP_2025, STDIO_2025, STDIO_2026] {
        fails(way, "--tick 100ms --wrong chatty", "the server talked on about a cancelled call");
    }
}

#[test]
fn notices_an_answer_after_the_cancel() {
    for way in [STDIO_2025, STDIO_2026] {
        fails(way, "--tick 100ms --wrong insistent", "answered a cancelled call with a result");
    }
}

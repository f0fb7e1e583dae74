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
    let mut lesson = Command::new(env!("CARGO_BIN_EXE_late-cancel"));
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
fn notices_a_late_cancel_that_is_answered() {
    for way in [STDIO_2025, STDIO_2026] {
        fails(way, "--wrong touchy", "the late cancel was answered");
    }
}

#[test]
fn notices_a_call_that_is_answered_twice() {
    // On HTTP a stream ends with its first answer: the second has nowhere to go.
    for way in [STDIO_2025, STDIO_2026] {
        fails(way, "--wrong twice", "was answered 2 times");
    }
}

#[test]
fn notices_results_of_calls_that_were_cancelled() {
    for way in [STDIO_2025, STDIO_2026] {
        fails(way, "--wrong insistent", "were answered although the server says that it cancelled");
    }
}

#[test]
fn notices_a_server_that_never_cancels() {
    for way in EVERYWHERE {
        fails(way, "--wrong deaf", "no call was cancelled in 200 rounds");
    }
}

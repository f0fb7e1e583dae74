//! The story passes wherever it can be told, and fails, by its own sentence, against
//! servers that are wrong on purpose.
//!
//! This lesson measures, so its plays take turns.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::str::contains;

const HTTP_2025: &str = "--transport http --protocol 2025-11-25";
const HTTP_2026: &str = "--transport http --protocol 2026-07-28";
const STDIO_2025: &str = "--transport stdio --protocol 2025-11-25";
const STDIO_2026: &str = "--transport stdio --protocol 2026-07-28";

static TURN: Mutex<()> = Mutex::new(());

fn play(way: &str, options: &[&str]) -> Assert {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut lesson = Command::new(env!("CARGO_BIN_EXE_cooperative"));
    lesson.args(way.split(' ')).args(options).timeout(Duration::from_secs(120)).assert()
}

fn passes(way: &str) {
    play(way, &[]).success().stdout(contains("every claim held"));
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
    for way in [HTTP_2025, HTTP_2026, STDIO_2025, STDIO_2026] {
        let played = play(way, &["--wrong", "deaf"]).code(1);
        played.stderr(contains("awaits did not stop when it was cancelled: it is still running"));
    }
}

#[test]
fn notices_a_stop_that_takes_too_long() {
    for way in [HTTP_2025, STDIO_2026] {
        let played = play(way, &["--wrong", "sluggish"]).code(1);
        played.stderr(contains("looking every 1000 rows, polls took"));
    }
}

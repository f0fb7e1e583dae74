//! The story passes wherever it can be told, and fails, by its own sentence, against servers
//! that are wrong on purpose.

use std::time::Duration;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::str::contains;

const HTTP: &str = "--transport http --protocol 2026-07-28";
const STDIO: &str = "--transport stdio --protocol 2026-07-28";

fn play(arguments: &str) -> Assert {
    let mut lesson = Command::new(env!("CARGO_BIN_EXE_tasks"));
    lesson.args(arguments.split_whitespace()).timeout(Duration::from_secs(60)).assert()
}

fn passes(way: &str) {
    play(&format!("{way} --tick 200ms")).success().stdout(contains("every claim held"));
}

fn fails(way: &str, options: &str, sentence: &str) {
    play(&format!("{way} {options}")).code(1).stderr(contains(sentence));
}

#[test]
fn passes_on_http_2026_07_28() {
    passes(HTTP);
}

#[test]
fn passes_on_stdio_2026_07_28() {
    passes(STDIO);
}

#[test]
fn takes_the_only_revision_it_has_unasked() {
    passes("");
}

#[test]
fn does_not_run_on_2025_11_25() {
    let played = play("--protocol 2025-11-25");
    played.code(2).stderr(contains("tasks does not run on 2025-11-25"));
}

#[test]
fn notices_a_server_that_acknowledges_and_does_not_stop() {
    for way in [HTTP, STDIO] {
        fails(way, "--tick 200ms --wrong deaf", "the server did not stop");
    }
}

#[test]
fn notices_a_task_that_is_stopped_by_the_cancel_of_its_request() {
    let sentence = "notifications/cancelled for its request stopped the task";
    fails(STDIO, "--tick 500ms --wrong jumpy", sentence);
}

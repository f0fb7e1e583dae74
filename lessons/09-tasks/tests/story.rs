//! The story passes wherever it can be told, and fails, by its own sentence, against servers
//! that are wrong on purpose.

use predicates::str::contains;
use testing::story::{HTTP_2026, Program, STDIO_2026};

const LESSON: Program = Program(env!("CARGO_BIN_EXE_tasks"));

#[test]
fn passes_on_http_2026_07_28() {
    LESSON.passes(&format!("{HTTP_2026} --tick 200ms"));
}

#[test]
fn passes_on_stdio_2026_07_28() {
    LESSON.passes(&format!("{STDIO_2026} --tick 200ms"));
}

#[test]
fn takes_the_only_revision_it_has_unasked() {
    LESSON.passes("--tick 200ms");
}

#[test]
fn does_not_run_on_2025_11_25() {
    let played = LESSON.play("--protocol 2025-11-25");
    played.code(2).stderr(contains("tasks does not run on 2025-11-25"));
}

#[test]
fn notices_a_server_that_acknowledges_and_does_not_stop() {
    for way in [HTTP_2026, STDIO_2026] {
        LESSON.fails(way, "--tick 200ms --wrong deaf", "the server did not stop");
    }
}

#[test]
fn notices_a_task_that_is_stopped_by_the_cancel_of_its_request() {
    let sentence = "notifications/cancelled for its request stopped the task";
    LESSON.fails(STDIO_2026, "--tick 500ms --wrong jumpy", sentence);
}

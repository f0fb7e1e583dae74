//! The story passes wherever it can be told, and fails, by its own sentence, against
//! servers that are wrong on purpose.

use testing::story::{EVERYWHERE, HTTP_2025, HTTP_2026, Program, STDIO_2025, STDIO_2026};

const LESSON: Program = Program(env!("CARGO_BIN_EXE_basic-cancel"));

#[test]
fn passes_on_http_2025_11_25() {
    LESSON.passes(&format!("{HTTP_2025} --tick 100ms"));
}

#[test]
fn passes_on_http_2026_07_28() {
    LESSON.passes(&format!("{HTTP_2026} --tick 100ms"));
}

#[test]
fn passes_on_stdio_2025_11_25() {
    LESSON.passes(&format!("{STDIO_2025} --tick 100ms"));
}

#[test]
fn passes_on_stdio_2026_07_28() {
    LESSON.passes(&format!("{STDIO_2026} --tick 100ms"));
}

#[test]
fn notices_a_server_that_does_not_stop() {
    for way in EVERYWHERE {
        LESSON.fails(way, "--tick 300ms --wrong deaf", "the server did not stop");
    }
}

#[test]
fn notices_a_server_that_stops_too_late() {
    for way in EVERYWHERE {
        LESSON.fails(way, "--tick 300ms --wrong slow", "the server did not stop");
    }
}

#[test]
fn notices_a_server_that_finishes_instead() {
    // On HTTP 2026-07-28 its progress has nowhere to go, which may hold it up for seconds.
    for way in [HTTP_2025, STDIO_2025, STDIO_2026] {
        LESSON.fails(
            way,
            "--tick 50ms --wrong deaf",
            "the server did not cancel: its call finished",
        );
    }
}

#[test]
fn notices_a_server_that_works_on_for_some_steps() {
    for way in [HTTP_2025, STDIO_2025, STDIO_2026] {
        LESSON.fails(way, "--tick 100ms --wrong sluggish", "the server worked on");
    }
}

#[test]
fn notices_a_lost_reason() {
    for way in [HTTP_2025, STDIO_2025, STDIO_2026] {
        LESSON.fails(way, "--tick 100ms --wrong forgetful", "the reason was lost");
    }
}

#[test]
fn notices_a_connection_that_is_lost_with_the_call() {
    LESSON.fails(
        HTTP_2025,
        "--tick 100ms --wrong stuck",
        "the connection did not survive the cancel",
    );
}

#[test]
fn notices_a_connection_that_is_lost_with_the_call_on_stdio() {
    LESSON.fails(
        STDIO_2026,
        "--tick 100ms --wrong stuck",
        "the connection did not survive the cancel",
    );
}

#[test]
fn notices_progress_after_the_cancel() {
    // On HTTP 2026-07-28 the stream that would carry it is closed.
    for way in [HTTP_2025, STDIO_2025, STDIO_2026] {
        LESSON.fails(
            way,
            "--tick 100ms --wrong chatty",
            "the server talked on about a cancelled call",
        );
    }
}

#[test]
fn notices_an_answer_after_the_cancel() {
    for way in [STDIO_2025, STDIO_2026] {
        LESSON.fails(
            way,
            "--tick 100ms --wrong insistent",
            "answered a cancelled call with a result",
        );
    }
}

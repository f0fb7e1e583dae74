//! The story passes wherever it can be told, and fails, by its own sentence, against
//! servers that are wrong on purpose.

use testing::story::{EVERYWHERE, HTTP_2025, HTTP_2026, Program, STDIO_2025, STDIO_2026};

const LESSON: Program = Program(env!("CARGO_BIN_EXE_late-cancel"));

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
fn notices_a_late_cancel_that_is_answered() {
    for way in [STDIO_2025, STDIO_2026] {
        LESSON.fails(way, "--wrong touchy", "the late cancel was answered");
    }
}

#[test]
fn notices_a_call_that_is_answered_twice() {
    // On HTTP a stream ends with its first answer: the second has nowhere to go.
    for way in [STDIO_2025, STDIO_2026] {
        LESSON.fails(way, "--wrong twice", "was answered 2 times");
    }
}

#[test]
fn notices_results_of_calls_that_were_cancelled() {
    for way in [STDIO_2025, STDIO_2026] {
        LESSON.fails(
            way,
            "--wrong insistent",
            "were answered although the server says that it cancelled",
        );
    }
}

#[test]
fn notices_a_server_that_never_cancels() {
    for way in EVERYWHERE {
        LESSON.fails(way, "--wrong deaf", "no call was cancelled in 200 rounds");
    }
}

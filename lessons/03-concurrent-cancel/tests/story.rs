//! The story passes wherever it can be told, and fails, by its own sentence, against
//! servers that are wrong on purpose.

use testing::story::{EVERYWHERE, HTTP_2025, HTTP_2026, Program, STDIO_2025, STDIO_2026};

const LESSON: Program = Program(env!("CARGO_BIN_EXE_concurrent-cancel"));

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
fn notices_a_call_that_was_not_cancelled() {
    for way in [HTTP_2025, STDIO_2025, STDIO_2026] {
        LESSON.fails(way, "--tick 100ms --wrong deaf", "call 1 was not cancelled");
    }
}

#[test]
fn notices_a_call_that_was_not_cancelled_on_http_2026_07_28() {
    LESSON.fails(HTTP_2026, "--tick 100ms --wrong deaf", "call 1 was not cancelled");
}

#[test]
fn notices_a_sibling_that_was_hit() {
    for way in EVERYWHERE {
        LESSON.fails(way, "--tick 100ms --wrong clumsy", "the cancel of call 1 hit call 0 too");
    }
}

#[test]
fn notices_results_that_were_mixed_up() {
    for way in EVERYWHERE {
        LESSON.fails(way, "--tick 100ms --wrong muddled", "the calls were mixed up");
    }
}

#[test]
fn notices_cancels_that_were_mixed_up() {
    for way in [HTTP_2025, STDIO_2025, STDIO_2026] {
        LESSON.fails(way, "--tick 100ms --wrong forgetful", "the cancels were mixed up");
    }
}

#[test]
fn notices_a_result_after_a_cancel() {
    for way in [STDIO_2025, STDIO_2026] {
        LESSON.fails(way, "--tick 100ms --wrong insistent", "was cancelled and answered");
    }
}

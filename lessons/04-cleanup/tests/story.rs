//! The story passes wherever it can be told, and fails, by its own sentence, against
//! servers that are wrong on purpose.

use testing::story::{EVERYWHERE, HTTP_2025, HTTP_2026, Program, STDIO_2025, STDIO_2026};

const LESSON: Program = Program(env!("CARGO_BIN_EXE_cleanup"));

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
fn notices_a_tool_that_does_not_stop() {
    for way in EVERYWHERE {
        LESSON.fails(way, "--tick 400ms --wrong deaf", "did not stop when it was cancelled");
    }
}

//! The story passes wherever it can be told, and fails, by its own sentence, against
//! servers that are wrong on purpose.
//!
//! This lesson measures, so its plays take turns.

use std::sync::{Mutex, MutexGuard, PoisonError};

use testing::story::{EVERYWHERE, HTTP_2025, HTTP_2026, Program, STDIO_2025, STDIO_2026};

const LESSON: Program = Program(env!("CARGO_BIN_EXE_cooperative"));

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn passes_on_http_2025_11_25() {
    let _turn = turn();
    LESSON.passes(HTTP_2025);
}

#[test]
fn passes_on_http_2026_07_28() {
    let _turn = turn();
    LESSON.passes(HTTP_2026);
}

#[test]
fn passes_on_stdio_2025_11_25() {
    let _turn = turn();
    LESSON.passes(STDIO_2025);
}

#[test]
fn passes_on_stdio_2026_07_28() {
    let _turn = turn();
    LESSON.passes(STDIO_2026);
}

#[test]
fn notices_a_server_that_does_not_stop() {
    for way in EVERYWHERE {
        let _turn = turn();
        LESSON.fails(way, "--wrong deaf", "awaits did not stop when it was cancelled");
    }
}

#[test]
fn notices_a_stop_that_takes_too_long() {
    for way in [HTTP_2025, STDIO_2026] {
        let _turn = turn();
        LESSON.fails(way, "--wrong sluggish", "looking every 1000 rows, polls took");
    }
}

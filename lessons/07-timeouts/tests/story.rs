//! Every chapter passes, alone and with the others, and fails, by its own sentence, against
//! servers that are wrong on purpose.

use predicates::str::contains;
use testing::story::{EVERYWHERE, HTTP_2025, HTTP_2026, Program, STDIO_2025, STDIO_2026};

const LESSON: Program = Program(env!("CARGO_BIN_EXE_timeouts"));

#[test]
fn passes_on_http_2025_11_25() {
    LESSON.passes(&format!("{HTTP_2025} --tick 50ms"));
}

#[test]
fn passes_on_http_2026_07_28() {
    LESSON.passes(&format!("{HTTP_2026} --tick 50ms"));
}

#[test]
fn passes_on_stdio_2025_11_25() {
    LESSON.passes(&format!("{STDIO_2025} --tick 50ms"));
}

#[test]
fn passes_on_stdio_2026_07_28() {
    LESSON.passes(&format!("{STDIO_2026} --tick 50ms"));
}

#[test]
fn every_chapter_passes_alone() {
    std::thread::scope(|scope| {
        for chapter in ["drop", "deadline", "killed", "idle", "presses"] {
            scope.spawn(move || {
                LESSON.passes(&format!("{STDIO_2026} --tick 50ms {chapter}"));
            });
        }
    });
}

#[test]
fn notices_a_server_that_is_not_told_of_a_dropped_call() {
    for way in EVERYWHERE {
        LESSON.fails(
            way,
            "--tick 50ms drop --wrong deaf",
            "a dropped call did not reach the server",
        );
    }
}

#[test]
fn notices_a_server_that_is_not_told_of_a_deadline() {
    for way in EVERYWHERE {
        LESSON.fails(
            way,
            "--tick 50ms deadline --wrong deaf",
            "the deadline did not reach the server",
        );
    }
}

#[test]
fn notices_a_lost_connection_that_is_no_cancel_on_2026_07_28() {
    let sentence = "http 2026-07-28: after the kill the call should be cancelled, but: finished";
    LESSON.fails(HTTP_2025, "--tick 50ms killed --wrong deaf", sentence);
}

#[test]
fn notices_a_lost_connection_that_is_noticed_late_on_2026_07_28() {
    LESSON.fails(
        HTTP_2025,
        "--tick 50ms killed --wrong slow",
        "http 2026-07-28: the server noticed only after 1.",
    );
}

#[test]
fn notices_a_lost_connection_that_is_a_cancel_on_2025_11_25() {
    let sentence = "http 2025-11-25: after the kill the call should be finished, but: cancelled";
    LESSON.fails(HTTP_2025, "--tick 50ms killed --wrong hasty", sentence);
}

#[test]
fn notices_a_server_on_stdio_that_outlives_its_client() {
    for way in [STDIO_2025, STDIO_2026] {
        LESSON.fails(
            way,
            "--tick 50ms killed --wrong lingering",
            "stdio: the server did not notice the kill",
        );
    }
}

/// Half a second after it is told, and the process waits for it.
#[test]
fn a_tool_may_clean_up_after_its_client_is_gone() {
    LESSON.play(&format!("{STDIO_2025} --tick 50ms killed --wrong sluggish")).success();
}

#[test]
fn notices_a_silent_call_that_survives_its_session() {
    let sentence = "the closed session did not take its silent call with it: the call finished";
    LESSON.fails(HTTP_2025, "--tick 50ms idle --wrong deaf", sentence);
}

#[test]
fn notices_a_client_that_waits_on_after_one_ctrl_c() {
    for way in [HTTP_2025, STDIO_2026] {
        LESSON.fails(
            way,
            "--tick 50ms presses --wrong deaf",
            "after one Ctrl-C the client did not say",
        );
    }
}

#[test]
fn a_chapter_takes_no_url_on_stdio() {
    let refused = LESSON.play("drop --transport stdio --url http://localhost:8000/mcp").code(2);
    refused.stderr(contains("a stdio server is started by its client"));
}

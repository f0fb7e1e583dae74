//! The story passes on every way it names, and ends by its own sentence against servers that
//! are wrong on purpose.

use concurrent_cancel::LESSON;
use testing::story::{HTTP_2026, Program, notices};
use wrong::Wrong;

testing::passes_on!("concurrent-cancel", "--tick 100ms", http_2026 stdio_2025 stdio_2026);
testing::readme_shows_real_output!("concurrent-cancel", Some("100ms"));

// The check of the exercise is right about the stub, a solution and wrong answers.
testing::judges!(concurrent_cancel::hedged:
    blocks cancels_all cancels_all_and_looks_away drops_handles in_turn only_its_own own_side_only panics takes_a_failure);

#[test]
fn notices_a_call_that_was_not_cancelled() {
    notices(&LESSON, Wrong::Deaf, 100, "call 1 was not cancelled");
}

#[test]
fn notices_a_call_that_was_not_cancelled_when_its_stream_was_closed() {
    let program = Program(env!("CARGO_BIN_EXE_concurrent-cancel"));
    program.fails(HTTP_2026, "--tick 100ms --wrong deaf", "call 1 was not cancelled");
}

#[test]
fn notices_a_sibling_that_was_hit() {
    notices(&LESSON, Wrong::Clumsy, 100, "the cancel of call 1 hit call 0 too");
}

#[test]
fn notices_results_that_were_mixed_up() {
    notices(&LESSON, Wrong::Muddled, 100, "the calls were mixed up");
}

#[test]
fn notices_cancels_that_were_mixed_up() {
    notices(&LESSON, Wrong::Forgetful, 100, "the cancels were mixed up");
}

#[test]
fn notices_a_result_after_a_cancel() {
    notices(&LESSON, Wrong::Insistent, 100, "was cancelled and answered");
}

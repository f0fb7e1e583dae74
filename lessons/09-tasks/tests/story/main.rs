//! The story passes wherever it can be told, and fails, by its own sentence, against servers
//! that are wrong on purpose. The modules look at the server's parts.

mod external;
mod flaws;
mod journal;
mod server;

use predicates::str::contains;
use tasks::LESSON;
use testing::story::{Program, notices};
use wrong::Wrong;

testing::passes_on!("tasks", "--tick 100ms", stdio_2026);
testing::readme_shows_real_output!("tasks");

// The check of the exercise is right about the stub, a solution and wrong answers.
testing::judges!(tasks::prove:
    believes_the_acknowledgement believes_the_task blocks cancels_the_request keeps_its_connection never_cancels panics waits_for_ever);

#[test]
fn does_not_run_on_2025_11_25() {
    let played = Program(env!("CARGO_BIN_EXE_tasks")).play("--protocol 2025-11-25");
    played.code(2).stderr(contains("tasks does not run on 2025-11-25, only on 2026-07-28"));
}

#[test]
fn notices_a_server_that_acknowledges_and_does_not_stop() {
    let sentence = "the server did not stop: 3 steps after the cancel its task is still working";
    notices(&LESSON, Wrong::Deaf, 100, sentence);
}

#[test]
fn notices_a_task_that_is_stopped_by_the_cancel_of_its_request() {
    let sentence = "notifications/cancelled for its request stopped the task";
    notices(&LESSON, Wrong::Jumpy, 100, sentence);
}

//! The story passes on every way it names, and ends by its own sentence against servers that
//! are wrong on purpose. The modules look at the programs to paste, at the serving terminal, and at
//! standard input and output.

mod examples;
mod serve;
mod stdio;

use basic_cancel::LESSON;
use testing::process::Process;
use testing::story::{HTTP_2026, Program, notices};
use wrong::Wrong;

testing::passes_on!("basic-cancel", "--tick 100ms", http_2026 stdio_2025 stdio_2026);
testing::readme_shows_real_output!("basic-cancel", Some("100ms"));

// The check of the exercise is right about the stub, a solution and wrong answers.
testing::judges!(basic_cancel::process:
    always_cancelled between_steps blocks deaf ends_as_failed ends_as_finished first_token
    no_last_step no_step_0 own_side_only panics reports_ahead silent);

#[test]
fn notices_a_server_that_finishes_instead() {
    notices(&LESSON, Wrong::Deaf, 100, "the server did not cancel: its call finished");
}

#[test]
fn notices_a_server_that_does_not_stop() {
    notices(&LESSON, Wrong::Deaf, 5000, "the server did not stop: still running");
}

#[test]
fn notices_a_server_that_finishes_although_its_stream_is_closed() {
    let program = env!("CARGO_BIN_EXE_basic-cancel");
    // A client in a terminal of its own does not know the flaw: it waits for as long as it takes.
    let server = Process::wrong(program, "deaf", "100ms");
    let client = format!("client --url {}", server.url);
    let sentence = "the server did not cancel: its call finished";
    Program(program).fails(HTTP_2026, &client, sentence);
}

#[test]
fn notices_a_server_that_looks_too_late() {
    notices(&LESSON, Wrong::Slow, 100, "the server did not cancel: its call finished");
}

#[test]
fn notices_a_lost_reason() {
    notices(&LESSON, Wrong::Forgetful, 100, "the reason was lost");
}

#[test]
fn notices_a_connection_that_is_lost_with_the_call() {
    notices(&LESSON, Wrong::Stuck, 100, "the connection did not survive the cancel");
}

#[test]
fn notices_progress_after_the_cancel() {
    notices(&LESSON, Wrong::Chatty, 100, "the server talked on about a cancelled call");
}

#[test]
fn notices_an_answer_after_the_cancel() {
    notices(&LESSON, Wrong::Insistent, 100, "answered a cancelled call with a result");
}

//! The story passes everywhere, and fails, by its own sentence, against servers that are wrong on
//! purpose. The modules look at Ctrl-C, at a frozen server, and at rmcp's client.

mod client;
mod ctrl_c;
mod flaws;
mod frozen_server;

use predicates::str::contains;
use testing::process::Process;
use testing::story::{HTTP_2025, HTTP_2026, Program};
use timeouts::LESSON;
use wrong::Wrong;

const PROGRAM: &str = env!("CARGO_BIN_EXE_timeouts");

testing::passes_on!("timeouts", "--tick 100ms", http_2026 stdio_2025 stdio_2026);
testing::readme_shows_real_output!("timeouts");

// The check of the exercise is right about the stub, a solution and wrong answers.
testing::judges!(timeouts::call_with_deadline:
    blocks hangs_up mixed_up no_cap no_deadline one_deadline own_side_only panics);

#[test]
fn notices_a_server_that_is_not_told_of_a_dropped_call() {
    let sentence = "a dropped call did not reach the server: its call still running";
    testing::story::notices(&LESSON, Wrong::Deaf, 100, sentence);
}

/// The client is told nothing of the server's step: it finds out.
#[test]
fn a_server_with_another_step_is_not_accused() {
    std::thread::scope(|scope| {
        for (way, tick) in [(HTTP_2025, "60ms"), (HTTP_2026, "250ms")] {
            scope.spawn(move || {
                let server = Process::http(PROGRAM, tick);
                let played = Program(PROGRAM).play(&format!("{way} deadline --url {}", server.url));
                played.success().stdout(contains("this server takes"));
            });
        }
    });
}

/// Before it plays: the server that runs cannot be told, and the chapter would seem to miss the flaw.
#[test]
fn a_chapter_tells_a_server_that_runs_already_nothing() {
    for option in ["--wrong deaf", "--tick 50ms"] {
        let wanted = format!("{option} drop --url http://localhost:1/mcp");
        let refused = Program(PROGRAM).play(&wanted).code(2);
        refused.stderr(contains("--tick and --wrong are for the server"));
    }
}

#[test]
fn a_chapter_takes_no_url_on_stdio() {
    let wanted = "drop --transport stdio --url http://localhost:8000/mcp";
    let refused = Program(PROGRAM).play(wanted).code(2);
    refused.stderr(contains("a stdio server is started by its client"));
}

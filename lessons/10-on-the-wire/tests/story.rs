//! Every chapter passes, alone and with the others, and fails, by its own sentence, against
//! servers that are wrong on purpose.

use predicates::str::contains;
use testing::story::Program;

const LESSON: Program = Program(env!("CARGO_BIN_EXE_on-the-wire"));

#[test]
fn passes_on_http_2025_11_25() {
    LESSON.passes("--tick 100ms");
}

#[test]
fn passes_on_http_2026_07_28() {
    LESSON.passes("--tick 100ms --protocol 2026-07-28");
}

#[test]
fn every_chapter_passes_alone() {
    for chapter in ["session", "stateless", "wrong-id", "lsp-name", "quick"] {
        let played = LESSON.play(&format!("{chapter} --tick 100ms"));
        played.success().stdout(contains("the server says: cancelled after"));
    }
}

#[test]
fn every_chapter_notices_a_server_that_does_not_stop() {
    for chapter in ["session", "stateless", "wrong-id", "lsp-name", "quick"] {
        LESSON.fails(chapter, "--tick 300ms --wrong deaf", "the server did not stop");
    }
}

#[test]
fn notices_a_server_that_finishes_instead() {
    LESSON.fails(
        "quick",
        "--tick 20ms --wrong deaf",
        "the server did not cancel: its call is \"finished\"",
    );
}

#[test]
fn notices_a_server_that_takes_a_text_for_a_number() {
    LESSON.fails(
        "wrong-id",
        "--tick 200ms --wrong lax",
        "a cancel for the string \"2\" changed the call 2",
    );
}

#[test]
fn notices_a_server_that_stops_what_was_not_named() {
    LESSON.fails("wrong-id", "--tick 200ms --wrong jumpy", "changed the call 2");
}

#[test]
fn notices_a_server_that_speaks_the_language_server_protocol() {
    LESSON.fails("lsp-name", "--tick 200ms --wrong lsp", "$/cancelRequest changed the call 2");
}

#[test]
fn does_not_run_on_stdio() {
    LESSON.play("--transport stdio").code(2).stderr(contains("on-the-wire does not run on stdio"));
}

#[test]
fn a_chapter_without_its_server_says_how_to_start_one() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("--url http://{free}/mcp");
    LESSON.fails("quick", &url, "start one with `serve`, or name it with --url");
}

//! Every chapter passes, alone and with the others, and fails, by its own sentence, against
//! servers that are wrong on purpose.

use std::time::Duration;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::str::contains;

fn play(arguments: &str) -> Assert {
    let mut lesson = Command::new(env!("CARGO_BIN_EXE_on-the-wire"));
    lesson.args(arguments.split(' ')).timeout(Duration::from_secs(60)).assert()
}

fn fails(arguments: &str, sentence: &str) {
    play(arguments).code(1).stderr(contains(sentence));
}

#[test]
fn passes_on_http_2025_11_25() {
    play("--tick 100ms").success().stdout(contains("every claim held"));
}

#[test]
fn passes_on_http_2026_07_28() {
    let played = play("--tick 100ms --protocol 2026-07-28");
    played.success().stdout(contains("every claim held"));
}

#[test]
fn every_chapter_passes_alone() {
    for chapter in ["session", "stateless", "wrong-id", "lsp-name", "quick"] {
        let played = play(&format!("{chapter} --tick 100ms"));
        played.success().stdout(contains("the server says: cancelled after"));
    }
}

#[test]
fn every_chapter_notices_a_server_that_does_not_stop() {
    for chapter in ["session", "stateless", "wrong-id", "lsp-name", "quick"] {
        fails(&format!("{chapter} --tick 300ms --wrong deaf"), "the server did not stop");
    }
}

#[test]
fn notices_a_server_that_finishes_instead() {
    fails("quick --tick 20ms --wrong deaf", "the server did not cancel: its call is \"finished\"");
}

#[test]
fn notices_a_server_that_takes_a_text_for_a_number() {
    fails("wrong-id --tick 200ms --wrong lax", "a cancel for the string \"2\" changed the call 2");
}

#[test]
fn notices_a_server_that_stops_what_was_not_named() {
    fails("wrong-id --tick 200ms --wrong jumpy", "changed the call 2");
}

#[test]
fn notices_a_server_that_speaks_the_language_server_protocol() {
    fails("lsp-name --tick 200ms --wrong lsp", "$/cancelRequest changed the call 2");
}

#[test]
fn does_not_run_on_stdio() {
    play("--transport stdio").code(2).stderr(contains("on-the-wire does not run on stdio"));
}

#[test]
fn a_chapter_without_its_server_says_how_to_start_one() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lost = format!("quick --url http://{free}/mcp");
    fails(&lost, "start one with `serve`, or name it with --url");
}

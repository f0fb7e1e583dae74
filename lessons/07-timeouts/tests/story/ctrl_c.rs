//! The chapter `ctrl-c`, with Ctrl-C sent to it: once, and twice.

use std::process::Command;
use std::time::Duration;

use testing::process::Process;
use testing::story::{HTTP_2025, HTTP_2026, STDIO_2025, STDIO_2026};

use crate::PROGRAM;

const DEADLINE: Duration = Duration::from_secs(30);

/// The chapter, at work.
fn at_work(way: &str, options: &[&str]) -> Process {
    let mut program = Command::new(PROGRAM);
    program.args(way.split(' ')).args(["--tick", "100ms"]).args(options).arg("ctrl-c");
    let client = Process::start(program);
    client.line_with("Ctrl-C stops it");
    client
}

/// The client says what has become of its call, and ends well.
#[test]
fn one_press_cancels_and_asks_the_server() {
    for way in [HTTP_2025, HTTP_2026, STDIO_2025, STDIO_2026] {
        let mut client = at_work(way, &[]);
        client.signal("INT");
        let word = client.line_with("the server says");
        assert!(word.contains("cancelled after"), "{way}: {word}");
        assert!(client.ends_within(DEADLINE).success(), "{way}");
    }
}

/// The server never stops, so there is nothing to say, and time for a second press.
#[test]
fn a_second_press_leaves_without_the_servers_word() {
    for way in [HTTP_2025, STDIO_2026] {
        let mut client = at_work(way, &["--wrong", "deaf"]);
        client.signal("INT");
        client.line_with("Ctrl-C again leaves at once");
        client.signal("INT");
        assert!(!client.ends_within(DEADLINE).success(), "{way}");
        let rest = client.rest();
        assert!(!rest.iter().any(|line| line.contains("the server says")), "{way}: {rest:?}");
    }
}

/// A server that says nothing at all does not keep the client either.
#[test]
fn a_second_press_leaves_a_frozen_server() {
    for revision in ["2025-11-25", "2026-07-28"] {
        let server = Process::http(PROGRAM, "100ms");
        let options = ["--protocol", revision, "--url", &server.url];
        let mut program = Command::new(PROGRAM);
        program.arg("ctrl-c").args(options);
        let mut client = Process::start(program);
        client.line_with("Ctrl-C stops it");
        server.signal("STOP");
        client.signal("INT");
        client.line_with("Ctrl-C again leaves at once");
        client.signal("INT");
        assert!(!client.ends_within(DEADLINE).success(), "{revision}");
        server.signal("CONT");
    }
}

/// As `nohup` or a script's `&` starts it: the shell has told it to ignore Ctrl-C.
#[test]
fn a_client_that_was_started_with_ctrl_c_ignored_hears_it_all_the_same() {
    let mut shell = Command::new("sh");
    let script = "trap '' INT; exec \"$0\" --tick 100ms ctrl-c";
    shell.args(["-c", script, PROGRAM]);
    let mut client = Process::start(shell);
    client.line_with("Ctrl-C stops it");
    client.signal("INT");
    client.line_with("the server says");
    assert!(client.ends_within(DEADLINE).success());
}

//! The bridge as a tool: what it refuses, and what it says when a side is gone.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use assert_cmd::assert::OutputAssertExt;
use course::port::Port;
use predicates::str::contains;
use serde_json::json;
use testing::process::{DEADLINE, Process};
use testing::raw::{RawClient, within};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mcp-bridge");

fn bridge(arguments: &[&str]) -> assert_cmd::assert::Assert {
    Command::new(PROGRAM).args(arguments).timeout(Duration::from_secs(60)).assert()
}

#[test]
fn what_cannot_be_bridged_is_refused_with_a_way_out() {
    for (arguments, why) in [
        (&["https://localhost:8000/mcp"][..], "plain HTTP only, as in http://localhost:8000/mcp"),
        (&["--"], "name a URL, or a command after --"),
        (&["http://localhost:8000/mcp", "--", "sh"], "a URL or a command, not both"),
        (&["--relay", "--", "sh"], "--relay needs a URL"),
        (
            &["--relay", "--protocol", "2025-11-25", "http://localhost:8000/mcp"],
            "leave out --protocol",
        ),
        (&["--addr", "8100", "--", "sh"], "write it as in 127.0.0.1:8100"),
    ] {
        bridge(arguments).code(2).stderr(contains(why));
    }
}

#[test]
fn help_shows_both_forms() {
    let shown = bridge(&["--help"]).success().stdout(contains("mcp-bridge [--relay] URL"));
    shown.stdout(contains("mcp-bridge [--addr ADDR] -- COMMAND ARGS..."));
}

/// Where nobody listens.
fn at(nobody: &Port) -> String {
    format!("http://{}/mcp", nobody.address())
}

#[test]
fn a_url_that_does_not_answer() {
    let nobody = Port::keep().unwrap();
    bridge(&[&at(&nobody)]).code(1).stderr(contains("no MCP server answers at http://127.0.0.1:"));
}

/// The relay connects when the host speaks first, so the host hears of it too.
#[test]
fn a_relay_to_nobody_tells_its_host() {
    let nobody = Port::keep().unwrap();
    let mut relay = std::process::Command::new(PROGRAM);
    relay.args(["--relay", &at(&nobody)]).stdin(Stdio::piped());
    let mut relay = relay.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The host stays: it has not closed its output when the relay ends.
    let mut host = relay.stdin.take().unwrap();
    writeln!(host, "{}", testing::raw::initialize()).unwrap();
    let ended = relay.wait_with_output().unwrap().assert().code(1);
    let ended = ended.stderr(contains("no MCP server answers at http://127.0.0.1:"));
    ended.stdout(contains(r#""id":"initialize""#)).stdout(contains(r#""error""#));
    drop(host);
}

#[test]
fn a_command_that_is_not_there() {
    let ended = bridge(&["--addr", "127.0.0.1:0", "--", "/no/such/server"]).code(1);
    ended.stderr(contains("cannot start /no/such/server"));
}

#[test]
fn a_command_that_speaks_no_mcp() {
    let ended = bridge(&["--addr", "127.0.0.1:0", "--", "true"]).code(1);
    ended.stderr(contains("true does not speak MCP on its standard output"));
}

/// The server behind the bridge dies with 20 calls at work: 20 errors, and the bridge ends.
#[tokio::test]
async fn a_child_that_dies_is_twenty_errors_and_an_exit_code() {
    for protocol in testing::raw::BOTH {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        // The shell writes down its process id, which is the server's after `exec`.
        let script = format!(
            "echo $$ > {}; exec {PROGRAM} serve --transport stdio --tick 1s",
            pid.display()
        );
        let mut program = std::process::Command::new(PROGRAM);
        program.args(["--addr", "127.0.0.1:0", "--", "sh", "-c", &script]);
        let mut bridge = Process::at_a_url(program);
        let host = RawClient::open(&bridge.url, protocol).await;
        let mut calls = Vec::new();
        for id in 1..=20 {
            let mut call = host.work(id, 3600).await;
            call.progress(1).await;
            calls.push(call);
        }
        let pid = std::fs::read_to_string(&pid).unwrap();
        let kill = std::process::Command::new("kill").args(["-s", "KILL", pid.trim()]).status();
        assert!(kill.unwrap().success());
        for call in calls {
            let answer = within(Duration::from_secs(30), "an error", call.answer()).await;
            let message = answer["error"]["message"].as_str().unwrap_or_default().to_owned();
            assert!(message.contains("the server behind the bridge is gone"), "{answer}");
        }
        assert_eq!(bridge.ends_within(Duration::from_secs(30)).code(), Some(1));
    }
}

/// A server that heeds neither the end of its input nor SIGTERM, and has started a process.
const DEAF: &str = concat!(
    "trap '' TERM; sleep 60 & ",
    env!("CARGO_BIN_EXE_mcp-bridge"),
    " serve --transport stdio; exec sleep 60"
);
/// One that ends with its input, and leaves a process behind.
const CARELESS: &str =
    concat!("sleep 60 & exec ", env!("CARGO_BIN_EXE_mcp-bridge"), " serve --transport stdio");

/// A bridge to this script, and what both of them write to standard error. That ends when both
/// have ended.
fn bridge_to(script: &str) -> (std::process::Command, Receiver<String>) {
    let (errors, both) = std::io::pipe().unwrap();
    let mut program = std::process::Command::new(PROGRAM);
    program.args(["--addr", "127.0.0.1:0", "--", "sh", "-c", script]).stderr(both);
    let (lines, said) = mpsc::channel();
    std::thread::spawn(move || {
        let mut said = BufReader::new(errors).lines().map_while(Result::ok);
        said.try_for_each(|line| lines.send(line))
    });
    (program, said)
}

/// Neither the bridge is left nor its child, nor what the child has started.
fn both_end(mut bridge: Process, said: &Receiver<String>, code: i32) {
    let status = bridge.ends_within(DEADLINE);
    let ended = loop {
        if let Err(why) = said.recv_timeout(DEADLINE) {
            break why;
        }
    };
    assert_eq!(ended, RecvTimeoutError::Disconnected, "the child lives on");
    assert_eq!(status.code(), Some(code));
}

#[test]
fn a_deaf_child_does_not_outlive_a_bridge_that_is_stopped() {
    let (program, said) = bridge_to(DEAF);
    let bridge = Process::at_a_url(program);
    bridge.signal("INT");
    both_end(bridge, &said, 0);
}

#[test]
fn a_deaf_child_does_not_outlive_a_bridge_that_is_ended_at_once() {
    let (program, said) = bridge_to(DEAF);
    let bridge = Process::at_a_url(program);
    let address = bridge.url.split('/').nth(2).unwrap().to_owned();
    bridge.signal("INT");
    // The first signal has been heard when nobody listens any more.
    let asked = Instant::now();
    while std::net::TcpStream::connect(&address).is_ok() {
        assert!(asked.elapsed() < DEADLINE, "the bridge did not hear the signal");
        std::thread::sleep(Duration::from_millis(5));
    }
    bridge.signal("INT");
    both_end(bridge, &said, 130);
}

#[test]
fn what_a_child_leaves_behind_does_not_outlive_its_bridge() {
    let (program, said) = bridge_to(CARELESS);
    let bridge = Process::at_a_url(program);
    bridge.signal("INT");
    both_end(bridge, &said, 0);
}

#[test]
fn a_child_that_says_nothing_does_not_outlive_its_bridge() {
    let (program, said) = bridge_to("echo here >&2; exec sleep 60");
    let bridge = Process::start(program);
    assert_eq!(said.recv_timeout(DEADLINE).as_deref(), Ok("here"));
    bridge.signal("INT");
    both_end(bridge, &said, 0);
}

#[tokio::test]
async fn a_web_page_cannot_use_the_bridge() {
    let mut program = std::process::Command::new(PROGRAM);
    program.args(["--addr", "127.0.0.1:0", "--", PROGRAM, "serve", "--transport", "stdio"]);
    let bridge = Process::at_a_url(program);
    let host = RawClient::open(&bridge.url, course::lesson::Protocol::V2025).await;
    for (header, value) in [("origin", "http://evil.example"), ("host", "evil.example")] {
        let request = host.http(reqwest::Method::POST).header(header, value);
        let response = request.body(json!({}).to_string()).send().await.unwrap();
        assert_eq!(response.status(), 403, "{header}");
    }
    host.still_serves().await;
    bridge.signal("TERM");
}

//! Real Python clients against the real server: what they see, and whether the tool stops.
//!
//! Each needs a Python with one version of the SDK; `.ci/run` makes both and runs these
//! with `-- --ignored`.

mod support;

use std::time::Duration;

use support::Server;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python");

/// The line in which the serving terminal tells how the call ended.
fn how_it_ended(server: &Server) -> String {
    let ends = ["cancelled", "finished"];
    let line = || server.line();
    std::iter::repeat_with(line).find(|line| ends.iter().any(|end| line.contains(end))).unwrap()
}

fn python(interpreter: &str, script: &str, arguments: &[&str]) -> String {
    let python = std::env::var(interpreter)
        .unwrap_or_else(|_| panic!("{interpreter} must name a Python, see .ci/run"));
    let output = assert_cmd::Command::new(python)
        .arg(format!("{SCRIPTS}/{script}"))
        .args(arguments)
        .timeout(Duration::from_secs(60))
        .assert()
        .success();
    String::from_utf8_lossy(&output.get_output().stdout).into_owned()
}

#[test]
#[ignore = "needs the Python SDK 1.x: PYTHON_MCP_1, see .ci/run"]
fn python_sdk_1_gets_error_32800_within_a_second() {
    let server = Server::http("200ms");
    let seen = python("PYTHON_MCP_1", "cancel_by_id.py", &[&server.url]);
    assert_eq!(seen, "McpError -32800: Request cancelled\nwithin 1 s: True\n");
    let end = how_it_ended(&server);
    assert!(end.contains("cancelled after") && end.ends_with("reason: stop, says Python"), "{end}");
}

#[test]
#[ignore = "needs the Python SDK 2.x: PYTHON_MCP_2, see .ci/run"]
fn python_sdk_2_stops_a_call_it_abandons_on_2025_11_25() {
    let server = Server::http("200ms");
    let seen = python("PYTHON_MCP_2", "abandon_call.py", &[&server.url, "legacy"]);
    assert_eq!(seen, "here: cancelled\nserver: cancelled\n");
    let end = how_it_ended(&server);
    assert!(end.contains("cancelled after") && end.contains("reason: "), "{end}");
}

#[test]
#[ignore = "needs the Python SDK 2.x: PYTHON_MCP_2, see .ci/run"]
fn python_sdk_2_stops_a_call_it_abandons_on_2026_07_28() {
    let server = Server::http("200ms");
    let seen = python("PYTHON_MCP_2", "abandon_call.py", &[&server.url, "2026-07-28"]);
    assert_eq!(seen, "here: cancelled\nserver: cancelled\n");
    let end = how_it_ended(&server);
    assert!(end.contains("cancelled after") && end.ends_with("no reason given"), "{end}");
}

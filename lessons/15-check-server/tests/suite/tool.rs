//! The program as its users meet it: wrong input, reports for machines, a reader that goes.

use std::path::Path;
use std::process::Stdio;

use crate::lessons::{numbers, serve};
use crate::support::{BINARY, Report, check};

#[test]
#[cfg(target_os = "linux")]
#[ignore = "needs python3, see .ci/run"]
fn work_that_runs_on_behind_a_silent_wire_is_seen() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/computes_on.py");
    let mut checker = check();
    checker.args(["--json", "--limit", "120", "--only", "1,2,3,5,16", "--", "python3"]);
    let report = Report::of(checker.arg(script));
    assert_eq!(numbers(&report, "fail"), [1], "{}", report.json);
    assert_eq!(numbers(&report, "pass"), [2, 3, 5, 16]);
    assert_eq!(report.code, Some(1));
}

#[test]
#[cfg(target_os = "linux")]
#[ignore = "needs python3, see .ci/run"]
fn a_connection_that_outlives_its_call_is_seen() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/holds_a_connection.py");
    for (way, verdict, seen) in [
        ("keeps", "warn", "0 files and 2 connections that the call opened are still open"),
        ("closes", "pass", "gone: 0 processes, 0 files, 2 connections"),
    ] {
        let mut checker = check();
        checker.args(["--json", "--limit", "120", "--only", "20", "--", "python3"]);
        let report = Report::of(checker.arg(&script).arg(way));
        assert_eq!(report.verdict(20), verdict, "{way}: {}", report.json);
        let said = report.finding(20)["seen"].as_str().unwrap();
        assert!(said.contains(seen), "{way}: {said}");
    }
}

const SURVEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

/// What it says, and that it could not check.
pub fn refusal(arguments: &[&str]) -> String {
    let output = check().args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn wrong_input_is_refused_with_a_reason() {
    let practice = [BINARY, "practice"];
    for (arguments, says) in [
        (&[][..], "name a server"),
        (&["nonsense"], "'nonsense' for '[URL]': this is no URL"),
        (&["https://localhost/mcp"], "plain http only"),
        (&["localhost:8000/mcp"], "begin it with http://"),
        (&["127.0.0.1:8000/mcp"], "begin it with http://"),
        (&["survey", "--from", "/nowhere.json"], "/nowhere.json cannot be read"),
        (&["survey", "--from", SURVEY], "Cargo.toml is no survey"),
        (&["http://127.0.0.1:9/mcp"], "no MCP server was reached"),
        (&["--", "no-such-program"], "`no-such-program` cannot be started"),
        (&["http://127.0.0.1:9/mcp", "--only", "99"], "there is no behaviour 99"),
        (&["http://127.0.0.1:9/mcp", "--tool", "x", "--args", "[]"], "must be a JSON object"),
        (&["http://127.0.0.1:9/mcp", "--tool", "x", "--args", "{"], "this is no JSON"),
        (&["--tool", "x", "--", practice[0], practice[1]], "it has: slow_count, list_calls"),
        (&["--status-tool", "x", "--", practice[0], practice[1]], "has no tool `x`"),
        (&["--", "true"], "no MCP server was reached"),
        (&["--", "sh", "-c", "echo one module is missing >&2; exit 1"], "│ one module is missing"),
    ] {
        let said = refusal(arguments);
        assert!(said.contains(says), "{arguments:?} said {said}");
    }
}

#[test]
fn a_tool_that_fails_or_is_quick_is_not_judged() {
    let practice = |arguments| {
        refusal(&["--tool", "slow_count", "--args", arguments, "--", BINARY, "practice"])
    };
    let quick = practice(r#"{"seconds":0}"#);
    assert!(quick.contains("`slow_count` ended before it could be cancelled"), "{quick}");
    let wrong = ["--tool", "process_large_file", "--args", r#"{"filename":"no.csv"}"#];
    let server = serve(&[]);
    let failed = refusal(&[&wrong[..], &[&server.url]].concat());
    assert!(failed.contains("the tool `process_large_file` failed"), "{failed}");
}

/// `mcp-cancel-check .. | head -1`: the reader goes before the report comes.
#[test]
fn a_reader_that_goes_is_no_error() {
    let survey = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/who-stops.json");
    let bench = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/bench.json");
    let judge = ["--only", "2", "--protocol", "2025-11-25", "--", BINARY, "practice"];
    for arguments in [
        &judge[..],
        &["survey", "--from", survey],
        &["survey", "--from", survey, "--json"],
        &["survey", "--from", survey, "--markdown"],
        &["bench", "--from", bench],
        &["bench", "--from", bench, "--json"],
    ] {
        let mut checker = check();
        let piped = checker.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut checker = piped.spawn().unwrap();
        drop(checker.stdout.take());
        let output = checker.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    }
    // `2>&1 | head`: what is said aside has no reader either.
    let mut checker = check();
    let piped = checker.args(judge).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut checker = piped.spawn().unwrap();
    drop((checker.stdout.take(), checker.stderr.take()));
    assert_eq!(checker.wait().unwrap().code(), Some(0));
}

/// The exit code stays: nothing failed.
#[test]
fn work_that_was_not_seen_is_the_last_word() {
    for (tells, unseen) in [("nothing", true), ("status", false)] {
        let mut checker = check();
        checker.args(["--only", "1,2", "--protocol", "2025-11-25", "--", BINARY, "practice"]);
        let output = checker.args(["--tells", tells]).output().unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        let last = table.lines().last().unwrap();
        assert_eq!(last.contains("whether the work stops was not seen"), unseen, "{table}");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn the_exchange_and_the_report_for_ci_are_given() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let junit = folder.join("junit.xml");
    let mut checker = check();
    checker.args(["--only", "2,3", "--show", "2", "--protocol", "2025-11-25", "--junit"]);
    checker.arg(&junit).args(["--", BINARY, "practice", "--wrong", "answers-anyway"]);
    let output = checker.output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    for line in ["❌  2 fail", "✅  3 pass", "notifications/cancelled", "\"counted\""] {
        assert!(table.contains(line), "no {line} in {table}");
    }
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(xml.contains("tests=\"2\" failures=\"1\""), "{xml}");
    assert!(xml.contains("<failure message=\"1 came\"/>"), "{xml}");
}

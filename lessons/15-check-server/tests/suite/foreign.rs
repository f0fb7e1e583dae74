//! Servers that are written with other SDKs, and what the checker says of them.
//!
//! docs/src/check-server.md has a row for each, and explains it. Each test here makes its rows
//! anew. `.ci/run` installs what they need.
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Practice, Report, check};
use serde_json::Value;

const REVISIONS: [&str; 2] = ["2025-11-25", "2026-07-28"];
const FOREIGN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../10-on-the-wire/tests");

#[test]
fn rmcp() {
    let build = ["build", "--quiet", "--package", "check-server", "--example", "probe"];
    assert!(Command::new(env!("CARGO")).args(build).status().unwrap().success());
    let probe = Path::new(crate::support::BINARY).with_file_name("examples").join("probe");
    the_page_shows("rmcp 3.9.0, the probe", || on_stdio(&Command::new(&probe)));
}

#[test]
#[ignore = "needs the Python SDK 1.x: PYTHON_MCP_1, see .ci/run"]
fn python_1() {
    the_page_shows("Python SDK 1.30.0, the probe", || on_stdio(&python("1", "probes/python_1.py")));
}

#[test]
#[ignore = "needs the Python SDK 1.x: PYTHON_MCP_1, see .ci/run"]
fn python_1_sync_tool() {
    the_page_shows("Python SDK 1.30.0, a sync tool", || {
        on_stdio(&python("1", "tests/sync_tool.py"))
    });
}

#[test]
#[ignore = "needs the Python SDK 2.x: PYTHON_MCP_2, see .ci/run"]
fn python_2() {
    the_page_shows("Python SDK 2.3.0, the probe", || on_stdio(&python("2", "probes/python_2.py")));
}

#[test]
#[ignore = "needs the Python SDK 2.x: PYTHON_MCP_2, see .ci/run"]
fn python_2_sync_tool() {
    the_page_shows("Python SDK 2.3.0, a sync tool", || {
        on_stdio(&python("2", "tests/sync_tool.py"))
    });
}

#[test]
#[ignore = "needs the Python SDK 2.x: PYTHON_MCP_2, see .ci/run"]
fn python_2_http() {
    the_page_shows("Python SDK 2.3.0, lesson 1's server", || {
        let mut server = python("2", "../10-on-the-wire/tests/python/server_2.py");
        server.arg(csv_files());
        on_http(server)
    });
}

#[test]
#[ignore = "needs node and the TypeScript SDKs, see .ci/run"]
fn typescript_1() {
    the_page_shows("TypeScript SDK 1.32.2, the probe", || {
        on_stdio(&node("probes/typescript_1.mjs"))
    });
}

#[test]
#[ignore = "needs node and the TypeScript SDKs, see .ci/run"]
fn typescript_2() {
    the_page_shows("TypeScript SDK 2.4.0, the probe", || {
        on_stdio(&node("probes/typescript_2.mjs"))
    });
}

#[test]
#[ignore = "needs node and the TypeScript SDKs, see .ci/run"]
fn typescript_2_http() {
    the_page_shows("TypeScript SDK 2.4.0, lesson 1's server", || {
        let mut server = Command::new("node");
        server.arg(format!("{FOREIGN}/typescript/server_2.mjs")).arg(csv_files());
        on_http(server)
    });
}

#[test]
#[ignore = "needs @modelcontextprotocol/server-everything: MCP_EVERYTHING, see .ci/run"]
fn everything() {
    let folder = std::env::var("MCP_EVERYTHING")
        .expect("MCP_EVERYTHING must name an npm folder, see .ci/run");
    let package = Path::new(&folder).join("node_modules/@modelcontextprotocol/server-everything");
    let manifest = std::fs::read_to_string(package.join("package.json")).unwrap();
    assert!(manifest.contains("\"version\": \"2026.8.31\""), "the page is about another version");
    let mut server = Command::new("node");
    server.arg(package.join("dist/index.js"));
    the_page_shows("server-everything 2026.8.31", || on_stdio(&server));
}

#[test]
#[ignore = "needs the Python SDK 1.x: PYTHON_MCP_1, see .ci/run"]
fn python_1_as_client() {
    let client = || python("1", "tests/clients/client_1.py");
    the_page_shows("Python SDK 1.30.0, as client", || vec![judged(client(), "2025-11-25")]);
}

#[test]
#[ignore = "needs the Python SDK 2.x: PYTHON_MCP_2, see .ci/run"]
fn python_2_as_client() {
    let client = || python("2", "tests/clients/client_2.py");
    let both = || REVISIONS.map(|revision| judged(client(), revision)).to_vec();
    the_page_shows("Python SDK 2.3.0, as client", both);
}

#[test]
#[ignore = "needs node and the TypeScript SDKs, see .ci/run"]
fn typescript_1_as_client() {
    let client = || node("tests/clients/client_1.mjs");
    the_page_shows("TypeScript SDK 1.32.2, as client", || vec![judged(client(), "2025-11-25")]);
}

#[test]
#[ignore = "needs node and the TypeScript SDKs, see .ci/run"]
fn typescript_2_as_client() {
    let client = || node("tests/clients/client_2.mjs");
    let both = || REVISIONS.map(|revision| judged(client(), revision)).to_vec();
    the_page_shows("TypeScript SDK 2.4.0, as client", both);
}

/// The page has no row that no test makes, and every file that it names exists.
#[test]
fn the_page_shows_nothing_else() {
    let source = include_str!("foreign.rs");
    for row in rows_of_the_page() {
        let name = row.split('|').nth(1).unwrap().trim();
        assert!(source.contains(&format!("\"{name}\"")), "no test makes this row: {row}");
    }
    for probe in ["../examples/probe.rs", "../probes/python_1.py", "../probes/typescript_2.mjs"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(probe);
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(file.exists() && page().contains(name), "the page does not show {name}");
    }
}

fn python(major: &str, script: &str) -> Command {
    let interpreter = format!("PYTHON_MCP_{major}");
    let interpreter = std::env::var(&interpreter)
        .unwrap_or_else(|_| panic!("{interpreter} must name a Python, see .ci/run"));
    let mut command = Command::new(interpreter);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script));
    command
}

/// The script next to the packages that it imports.
fn node(script: &str) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let name = script.file_name().unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(script.file_stem().unwrap());
    std::fs::create_dir_all(&folder).unwrap();
    let packages = Path::new(FOREIGN).join("typescript/node_modules").canonicalize().unwrap();
    // The link may be there from the last run.
    let _ = std::os::unix::fs::symlink(packages, folder.join("node_modules"));
    std::fs::copy(&script, folder.join(name)).unwrap();
    let mut command = Command::new("node");
    command.arg(folder.join(name));
    command
}

/// A folder with the file that lesson 1's servers read.
fn csv_files() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("csv");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("large_dataset.csv"), "a,b\n".to_owned() + &"1,2\n".repeat(1000))
        .unwrap();
    folder
}

fn on_stdio(server: &Command) -> Vec<Value> {
    let mut checker = check();
    checker.args(["--json", "--limit", "120", "--"]);
    checker.arg(server.get_program()).args(server.get_args());
    vec![Report::of(&mut checker).json]
}

fn on_http(server: Command) -> Vec<Value> {
    let server = Practice::at_a_url(server);
    // Lesson 1's servers in other languages do ten steps a second.
    let arguments = r#"{"filename":"large_dataset.csv","processing_time":100}"#;
    let mut checker = check();
    checker.args(["--json", "--limit", "120", "--tool", "process_large_file", "--args", arguments]);
    vec![Report::of(checker.arg(&server.url)).json]
}

/// What the judge says of a client, on HTTP.
fn judged(mut client: Command, revision: &str) -> Value {
    let mut judge = check();
    judge.args(["client", "--http", "127.0.0.1:0", "--json"]);
    let (judge, mut lines) = Practice::with_output(judge);
    let ran = client.args([&judge.url, revision]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let report = lines.find(|line| line.starts_with('{')).expect("the judge gives no report");
    serde_json::from_str(&report).unwrap()
}

/// The verdicts that have a column on the page.
const COLUMNS: [&str; 4] = ["fail", "warn", "remark", "not observable"];

/// One row a lane: the numbers of each verdict.
fn rows(name: &str, report: &Value) -> Vec<String> {
    let lanes = report["subject"].get("lanes").and_then(Value::as_array).cloned();
    let lanes = lanes.unwrap_or_else(|| vec![report["subject"]["client"].clone()]);
    let findings = report["findings"].as_array().unwrap();
    let row = |lane: &Value| {
        let numbers = |verdict: &str| {
            let found =
                findings.iter().filter(|one| one["lane"] == *lane && one["verdict"] == verdict);
            found.map(|one| one["number"].to_string()).collect::<Vec<_>>().join(" ")
        };
        let lane = lane.as_str().unwrap();
        format!("| {name} | {lane} | {} |", COLUMNS.map(numbers).join(" | "))
    };
    lanes.iter().map(row).collect()
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/check-server.md");
    std::fs::read_to_string(path).unwrap()
}

fn rows_of_the_page() -> Vec<String> {
    let page = page();
    let table = page.split("\n## ").find(|section| section.starts_with("What it says")).unwrap();
    table.lines().filter(|line| line.starts_with("| ")).skip(1).map(str::to_owned).collect()
}

/// Some numbers depend on a race inside the foreign server (the page names them). So a row that
/// differs is made again, twice at most.
fn the_page_shows(name: &str, look: impl Fn() -> Vec<Value>) {
    const TRIES: usize = 3;
    let mut shown = rows_of_the_page();
    shown.retain(|row| row.starts_with(&format!("| {name} |")));
    let mut why = String::new();
    for _ in 0..TRIES {
        let reports = look();
        let seen: Vec<_> = reports.iter().flat_map(|report| rows(name, report)).collect();
        if seen == shown {
            return;
        }
        let differences = reports.iter().flat_map(|report| differences(report, &shown));
        why = [seen, differences.collect()].concat().join("\n");
    }
    panic!("the page shows\n{}\nbut what happens is\n{why}", shown.join("\n"));
}

/// What was seen of each number that the page has in another column: one line each.
fn differences(report: &Value, shown: &[String]) -> Vec<String> {
    let differs = |one: &&Value| {
        let (lane, number) = (one["lane"].as_str().unwrap(), one["number"].to_string());
        let row = shown.iter().find(|row| row.contains(&format!(" {lane} |")));
        let columns: Vec<_> = row.map(|row| row.split('|').skip(3).collect()).unwrap_or_default();
        let has = |column: &&str| column.split(' ').any(|word| word == number);
        let on_the_page = columns.iter().position(has);
        on_the_page != COLUMNS.iter().position(|verdict| one["verdict"] == *verdict)
    };
    let line = |one: &Value| {
        let text = |field: &str| one[field].as_str().unwrap().to_owned();
        let line =
            format!("{} {}: {}, {}", text("lane"), one["number"], text("verdict"), text("seen"));
        format!("{} (expected: {})", line.chars().take(200).collect::<String>(), text("expected"))
    };
    report["findings"].as_array().unwrap().iter().filter(differs).map(line).collect()
}

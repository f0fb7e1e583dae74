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
    the_page_shows("rmcp 3.9.0, the probe", &on_stdio(&Command::new(probe)));
}

#[test]
#[ignore = "needs the Python SDK 1.x: PYTHON_MCP_1, see .ci/run"]
fn python_1() {
    the_page_shows("Python SDK 1.30.0, the probe", &on_stdio(&python("1", "probes/python_1.py")));
}

#[test]
#[ignore = "needs the Python SDK 1.x: PYTHON_MCP_1, see .ci/run"]
fn python_1_sync_tool() {
    the_page_shows("Python SDK 1.30.0, a sync tool", &on_stdio(&python("1", "tests/sync_tool.py")));
}

#[test]
#[ignore = "needs the Python SDK 2.x: PYTHON_MCP_2, see .ci/run"]
fn python_2() {
    the_page_shows("Python SDK 2.3.0, the probe", &on_stdio(&python("2", "probes/python_2.py")));
}

#[test]
#[ignore = "needs the Python SDK 2.x: PYTHON_MCP_2, see .ci/run"]
fn python_2_sync_tool() {
    the_page_shows("Python SDK 2.3.0, a sync tool", &on_stdio(&python("2", "tests/sync_tool.py")));
}

#[test]
#[ignore = "needs the Python SDK 2.x: PYTHON_MCP_2, see .ci/run"]
fn python_2_http() {
    let mut server = python("2", "../10-on-the-wire/tests/python/server_2.py");
    server.arg(csv_files());
    the_page_shows("Python SDK 2.3.0, lesson 1's server", &on_http(server));
}

#[test]
#[ignore = "needs node and the TypeScript SDKs, see .ci/run"]
fn typescript_1() {
    the_page_shows("TypeScript SDK 1.32.2, the probe", &on_stdio(&node("probes/typescript_1.mjs")));
}

#[test]
#[ignore = "needs node and the TypeScript SDKs, see .ci/run"]
fn typescript_2() {
    the_page_shows("TypeScript SDK 2.4.0, the probe", &on_stdio(&node("probes/typescript_2.mjs")));
}

#[test]
#[ignore = "needs node and the TypeScript SDKs, see .ci/run"]
fn typescript_2_http() {
    let mut server = Command::new("node");
    server.arg(format!("{FOREIGN}/typescript/server_2.mjs")).arg(csv_files());
    the_page_shows("TypeScript SDK 2.4.0, lesson 1's server", &on_http(server));
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
    the_page_shows("server-everything 2026.8.31", &on_stdio(&server));
}

#[test]
#[ignore = "needs the Python SDK 1.x: PYTHON_MCP_1, see .ci/run"]
fn python_1_as_client() {
    let client = python("1", "tests/clients/client_1.py");
    the_page_shows("Python SDK 1.30.0, as client", &[judged(client, "2025-11-25")]);
}

#[test]
#[ignore = "needs the Python SDK 2.x: PYTHON_MCP_2, see .ci/run"]
fn python_2_as_client() {
    let client = || python("2", "tests/clients/client_2.py");
    let seen = REVISIONS.map(|revision| judged(client(), revision));
    the_page_shows("Python SDK 2.3.0, as client", &seen);
}

#[test]
#[ignore = "needs node and the TypeScript SDKs, see .ci/run"]
fn typescript_1_as_client() {
    let client = node("tests/clients/client_1.mjs");
    the_page_shows("TypeScript SDK 1.32.2, as client", &[judged(client, "2025-11-25")]);
}

#[test]
#[ignore = "needs node and the TypeScript SDKs, see .ci/run"]
fn typescript_2_as_client() {
    let client = || node("tests/clients/client_2.mjs");
    let seen = REVISIONS.map(|revision| judged(client(), revision));
    the_page_shows("TypeScript SDK 2.4.0, as client", &seen);
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

fn on_stdio(server: &Command) -> Vec<String> {
    let mut checker = check();
    checker.args(["--json", "--limit", "120", "--"]);
    checker.arg(server.get_program()).args(server.get_args());
    rows(&Report::of(&mut checker).json)
}

fn on_http(server: Command) -> Vec<String> {
    let server = Practice::at_a_url(server);
    // Lesson 1's servers in other languages do ten steps a second.
    let arguments = r#"{"filename":"large_dataset.csv","processing_time":100}"#;
    let mut checker = check();
    checker.args(["--json", "--limit", "120", "--tool", "process_large_file", "--args", arguments]);
    rows(&Report::of(checker.arg(&server.url)).json)
}

/// What the judge says of a client, on HTTP.
fn judged(mut client: Command, revision: &str) -> String {
    let mut judge = check();
    judge.args(["client", "--http", "127.0.0.1:0", "--json"]);
    let (judge, mut lines) = Practice::with_output(judge);
    let ran = client.args([&judge.url, revision]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let report = lines.find(|line| line.starts_with('{')).expect("the judge gives no report");
    rows(&serde_json::from_str(&report).unwrap()).remove(0)
}

/// One row a lane, but for the name: the numbers of each verdict.
fn rows(report: &Value) -> Vec<String> {
    let lanes = report["subject"].get("lanes").and_then(Value::as_array).cloned();
    let lanes = lanes.unwrap_or_else(|| vec![report["subject"]["client"].clone()]);
    let findings = report["findings"].as_array().unwrap();
    let row = |lane: &Value| {
        let numbers = |verdict: &str| {
            let found =
                findings.iter().filter(|one| one["lane"] == *lane && one["verdict"] == verdict);
            found.map(|one| one["number"].to_string()).collect::<Vec<_>>().join(" ")
        };
        let [fail, warn, remark, dark] = ["fail", "warn", "remark", "not observable"].map(numbers);
        let lane = lane.as_str().unwrap();
        format!("{lane} | {fail} | {warn} | {remark} | {dark} |")
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

fn the_page_shows(name: &str, rows: &[String]) {
    let seen = rows.iter().map(|row| format!("| {name} | {row}"));
    let seen = seen.collect::<Vec<_>>().join("\n");
    let mut shown = rows_of_the_page();
    shown.retain(|row| row.starts_with(&format!("| {name} |")));
    let shown = shown.join("\n");
    assert!(shown == seen, "the page shows\n{shown}\nbut what happens is\n{seen}");
}

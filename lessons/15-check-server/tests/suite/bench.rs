//! `bench`: what it counts adds up. No test looks at a time.
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{BINARY, Practice, check};

const SMALL: [&str; 6] = ["--samples", "5", "--cycles", "64", "--storm", "10,40"];
/// One to learn what the server does, 5 samples, twice 64 cycles, two storms.
const CALLS: u64 = 1 + 5 + 64 + 64 + 10 + 40;

fn bench(arguments: &[&str]) -> Value {
    let output = check().arg("bench").args(arguments).arg("--json").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// All calls were started and are over, and each was measured once.
fn adds_up(bench: &Value, revisions: usize) {
    let runs = bench["runs"].as_array().unwrap();
    assert_eq!(runs.len(), revisions, "{bench:#}");
    for run in runs {
        assert_eq!(run["calls"]["started"], CALLS, "{run:#}");
        assert_eq!(run["calls"]["over"], CALLS, "{run:#}");
        let handshake = run["revision"] == "2025-11-25";
        for latency in [&run["latency"], &run["floor"]] {
            assert_eq!(latency["tool"]["count"], 5, "{run:#}");
            let stream = latency["stream"]["count"].as_u64();
            assert_eq!(stream, handshake.then_some(5), "{run:#}");
        }
        let cycles = run["cycles"].as_array().unwrap();
        assert_eq!(cycles.iter().map(|it| &it["calls"]).collect::<Vec<_>>(), [64, 64]);
        let storms = run["storms"].as_array().unwrap();
        assert_eq!(storms.iter().map(|it| &it["calls"]).collect::<Vec<_>>(), [10, 40]);
        assert!(storms.iter().all(|storm| storm["last_tool"].is_f64()), "{run:#}");
    }
}

#[test]
fn the_practice_server_is_measured_by_its_probe() {
    let server = Practice::http(&["--tells", "probe"]);
    adds_up(&bench(&[&[server.url.as_str()], &SMALL[..]].concat()), 2);
}

#[test]
fn the_lessons_server_is_measured_by_its_list() {
    crate::lessons::program("basic-cancel");
    // It, and the floor, in two revisions.
    adds_up(&bench(&SMALL), 4);
}

#[test]
fn a_server_that_tells_nothing_is_measured_by_its_streams() {
    let server = Practice::http(&["--tells", "nothing"]);
    let revision = ["--protocol", "2025-11-25"];
    let bench = bench(&[&[server.url.as_str()], &SMALL[..], &revision].concat());
    let run = &bench["runs"][0];
    assert_eq!(run["calls"]["started"], CALLS);
    assert_eq!(run["calls"]["over"], 0, "nobody has said that they are");
    assert_eq!(run["latency"]["stream"]["count"], 5);
    assert!(run["latency"]["tool"].is_null());
}

#[test]
fn a_tool_that_does_not_stop_is_not_measured() {
    let server = Practice::http(&["--wrong", "deaf"]);
    refused(&[&server.url, "--protocol", "2025-11-25"], "ran to its end although it was cancelled");
}

#[test]
fn what_cannot_be_measured_is_said() {
    let server = Practice::http(&[]);
    refused(&["http://127.0.0.1:1/mcp"], "nothing listens at `127.0.0.1:1`");
    refused(&["nonsense"], "is no URL");
    refused(&[&server.url, "--tool", "nix"], "the server has no tool `nix`");
    refused(&[&server.url.replace("/mcp", "/")], "does not speak 2025-11-25");
    refused(&["--from", "/nowhere"], "/nowhere cannot be read");
    refused(&[&server.url, "--storm", "20000"], "20000 is not in 0..=10000");
}

fn refused(arguments: &[&str], why: &str) {
    let output = check().arg("bench").args(arguments).stdout(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    assert!(said.contains(why), "{arguments:?}: {said}");
}

#[test]
fn missing_servers_are_named_with_what_installs_them() {
    let folder = std::env::temp_dir().join(format!("bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let alone = folder.join("mcp-cancel-check");
    // Not with `fs::copy`: a process that another test starts meanwhile would inherit the file,
    // open for writing, and what is open for writing cannot be started.
    assert!(Command::new("cp").args([Path::new(BINARY), &alone]).status().unwrap().success());
    for (arguments, installs) in [
        (&["bench"][..], &["cargo build --release -p basic-cancel"][..]),
        (&["bench", "--peers"], &["--example bench_server", "pip install", "npm ci"]),
    ] {
        let mut command = Command::new(&alone);
        for variable in ["PYTHON_MCP_2", "FASTMCP_PYTHON", "TYPESCRIPT_MCP"] {
            command.env_remove(variable);
        }
        let output = command.args(arguments).current_dir(&folder).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(installs.iter().all(|command| said.contains(command)), "{said}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The page's tables and picture are what the program makes of the numbers beside them.
#[test]
fn the_page_shows_what_was_measured() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src");
    let page = std::fs::read_to_string(docs.join("bench.md")).unwrap();
    for name in ["bench", "bench-peers"] {
        let numbers = docs.join(format!("{name}.json"));
        let picture = std::env::temp_dir().join(format!("{name}-{}.svg", std::process::id()));
        let mut show = check();
        show.arg("bench").arg("--from").arg(numbers).arg("--svg").arg(&picture);
        let output = show.output().unwrap();
        assert!(output.status.success());
        let table = String::from_utf8(output.stdout).unwrap();
        assert!(page.contains(&format!("```text\n{table}```")), "{name}.json says:\n{table}");
        let drawn = std::fs::read_to_string(&picture).unwrap();
        std::fs::remove_file(&picture).unwrap();
        let kept = docs.join(format!("{name}.svg"));
        if page.contains(&format!("({name}.svg)")) {
            assert!(drawn == std::fs::read_to_string(kept).unwrap(), "draw {name}.svg anew");
        }
    }
}

#[test]
#[ignore = "needs the SDKs in Python and TypeScript, see .ci/run"]
fn every_peer_is_measured() {
    let build = ["build", "--quiet", "--package", "check-server", "--example", "bench_server"];
    assert!(Command::new(env!("CARGO")).args(build).status().unwrap().success());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut peers = check();
    peers.args(["bench", "--peers", "--rounds", "1", "--json"]).args(SMALL).current_dir(root);
    let output = peers.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bench: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(bench["missing"], serde_json::json!([]));
    // Five servers, of which one speaks only the older revision, and the floor.
    let runs = bench["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 11, "{bench:#}");
    for run in runs {
        assert_eq!(run["calls"]["started"], run["calls"]["over"], "{run:#}");
        assert_eq!(run["calls"]["over"], CALLS, "{run:#}");
    }
}

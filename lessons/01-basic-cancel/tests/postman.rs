//! The Postman collection: that it is in order, and what newman, Postman's own runner, finds
//! when it plays the collection against servers that cancel and servers that do not.
//!
//! newman comes from npm: `.ci/run` installs it and runs its tests with `-- --ignored`.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::Server;

const COLLECTION: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../postman/mcp-cancellation.postman_collection.json");
const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../postman/README.md");
const SCHEMA_CHECK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postman/schema.js");

/// At this tick a run of the whole collection takes ten seconds, and in 2.2 there are almost
/// two of them for the cancel to reach the server.
const TICK: &str = "250ms";
/// How long a run of newman may take.
const RUN: Duration = Duration::from_secs(120);

fn collection() -> Value {
    serde_json::from_str(&std::fs::read_to_string(COLLECTION).unwrap()).unwrap()
}

/// The requests of all folders, in order.
fn requests() -> Vec<Value> {
    let collection = collection();
    let folders = collection["item"].as_array().unwrap();
    folders.iter().flat_map(|folder| folder["item"].as_array().unwrap().clone()).collect()
}

fn name(request: &Value) -> &str {
    request["name"].as_str().unwrap()
}

/// The message that a request sends. Postman fills in variables as text, before it is JSON.
fn message(request: &Value) -> Value {
    let mut body = request["request"]["body"]["raw"].as_str().unwrap().replace("{{$guid}}", "guid");
    for variable in collection()["variable"].as_array().unwrap() {
        let [key, value] = ["key", "value"].map(|field| variable[field].as_str().unwrap());
        body = body.replace(&format!("{{{{{key}}}}}"), value);
    }
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{}: {error}", name(request)))
}

fn header(request: &Value, key: &str) -> Value {
    let headers = request["request"]["header"].as_array().unwrap();
    let found = headers.iter().find(|header| header["key"] == key);
    found.map_or(Value::Null, |header| header["value"].clone())
}

#[test]
fn each_request_teaches_and_asserts() {
    let requests = requests();
    for request in &requests {
        let description = request["request"]["description"].as_str().unwrap();
        assert!(description.len() >= 80, "{}: {description}", name(request));
        let mut scripts = request["event"].as_array().unwrap().iter();
        let tests = scripts.find(|script| script["listen"] == "test").unwrap();
        assert!(tests["script"]["exec"].to_string().contains("pm.test("), "{}", name(request));
    }
    // newman plays requests by name.
    let names: BTreeSet<_> = requests.iter().map(name).collect();
    assert_eq!(names.len(), requests.len());
}

#[test]
fn a_cancel_names_its_call_by_a_number() {
    let requests = requests();
    let sent = requests.iter().map(|request| (name(request), message(request)));
    let cancels = sent.filter(|(_, message)| message["method"] == "notifications/cancelled");
    let ids: Vec<_> =
        cancels.map(|(name, cancel)| (name, cancel["params"]["requestId"].clone())).collect();
    let expected = [
        ("1.4 Cancel it", json!(2)),
        ("3.3 Cancel the finished call", json!(2)),
        ("3.4 Cancel an unknown id", json!(999)),
        ("3.5 Cancel the text instead of the number", json!("2")),
        ("3.6 Cancel without an id", Value::Null),
    ];
    assert_eq!(ids, expected);
}

#[test]
fn the_headers_suit_the_messages() {
    for request in requests() {
        let (name, message) = (name(&request), message(&request));
        let revision = header(&request, "MCP-Protocol-Version");
        if revision == "2026-07-28" {
            assert_eq!(header(&request, "Mcp-Method"), message["method"], "{name}");
            assert_eq!(header(&request, "Mcp-Name"), message["params"]["name"], "{name}");
            let meta = &message["params"]["_meta"];
            assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], revision, "{name}");
        } else if message["method"] != "initialize" {
            assert_eq!(revision, "2025-11-25", "{name}");
            assert_eq!(header(&request, "Mcp-Session-Id"), "{{sessionId}}", "{name}");
        }
        assert_eq!(request["request"]["url"], "{{baseUrl}}", "{name}");
    }
    let default = json!({ "key": "baseUrl", "value": "http://localhost:8000/mcp" });
    assert!(collection()["variable"].as_array().unwrap().contains(&default));
}

#[test]
fn the_guide_calls_the_requests_by_their_names() {
    let guide = std::fs::read_to_string(GUIDE).unwrap();
    let requests = requests();
    let collection = collection();
    let folders = collection["item"].as_array().unwrap();
    let bold = guide.split("**").skip(1).step_by(2);
    for named in bold {
        let known = requests.iter().chain(folders).any(|item| name(item) == named);
        assert!(known, "the guide names {named}, which is not there");
    }
    // The table of what to send by hand is the first folder.
    let rows = guide.lines().filter_map(|line| line.strip_prefix("| **")?.split_once("**"));
    let folder = folders[0]["item"].as_array().unwrap();
    assert!(rows.map(|(named, _)| named).eq(folder.iter().map(name)), "{guide}");
}

/// A run of newman, ended when dropped.
struct Newman {
    child: Child,
    report: PathBuf,
}

impl Newman {
    /// Plays these requests or folders of the collection, or all if none is named.
    fn play(server: &Server, parts: &[&str]) -> Self {
        Self::play_in("", server, parts)
    }

    /// The same in a session that another run has opened.
    fn play_in(session: &str, server: &Server, parts: &[&str]) -> Self {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let (test, run) = (std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
        let report = format!("newman-{test}-{run}.json");
        let report = Path::new(env!("CARGO_TARGET_TMPDIR")).join(report);
        let newman = std::env::var("NEWMAN").expect("NEWMAN must name newman, see .ci/run");
        let mut command = Command::new(newman);
        command.args(["run", COLLECTION, "--env-var"]).arg(format!("baseUrl={}", server.url));
        if !session.is_empty() {
            command.arg("--env-var").arg(format!("sessionId={session}"));
        }
        command.args(parts.iter().flat_map(|part| ["--folder", part]));
        command.args(["--reporters", "json", "--reporter-json-export"]).arg(&report);
        Self { child: command.stdout(Stdio::null()).spawn().unwrap(), report }
    }

    /// Waits for the end of the run.
    fn report(mut self) -> Report {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < RUN, "newman did not end within {RUN:?}");
            std::thread::sleep(Duration::from_millis(20));
        };
        let report = std::fs::read(&self.report).expect("newman crashed: it left no report");
        let report: Value = serde_json::from_slice(&report).unwrap();
        let report = Report(report["run"].clone());
        assert_eq!(status.success(), report.failed().is_empty(), "newman: {status}");
        report
    }
}

impl Drop for Newman {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.report);
    }
}

/// What newman reports of a run.
struct Report(Value);

impl Report {
    /// The assertions that failed. Nothing else may have gone wrong, no script and no request.
    fn failed(&self) -> Vec<&str> {
        let failures = self.0["failures"].as_array().unwrap().iter();
        failures
            .map(|failure| {
                let error = &failure["error"];
                assert_eq!(error["name"], "AssertionError", "{failure:#}");
                error["test"].as_str().unwrap()
            })
            .collect()
    }

    /// What was asserted, each with its request.
    fn asserted(&self) -> Vec<(&str, &str)> {
        let sent = self.0["executions"].as_array().unwrap().iter();
        let all = sent.flat_map(|sent| {
            let assertions = sent["assertions"].as_array().into_iter().flatten();
            assertions.map(|one| (name(&sent["item"]), one["assertion"].as_str().unwrap()))
        });
        all.collect()
    }

    /// The run passed, and this was among what it asserted.
    fn asserts_that(&self, assertion: &str) {
        assert_eq!(self.failed(), [""; 0]);
        let asserted = self.asserted();
        assert!(asserted.iter().any(|(_, one)| *one == assertion), "{asserted:?}");
    }

    /// The session that the first request opened.
    fn session(&self) -> &str {
        let headers = self.0["executions"][0]["response"]["header"].as_array().unwrap();
        let session = headers.iter().find(|header| header["key"] == "mcp-session-id").unwrap();
        session["value"].as_str().unwrap()
    }
}

#[test]
#[ignore = "needs newman: NEWMAN, see .ci/run"]
fn newman_plays_the_whole_collection() {
    let server = Server::http(TICK);
    let report = Newman::play(&server, &[]).report();
    assert_eq!(report.failed(), [""; 0]);
    let asserted = report.asserted();
    for request in &requests() {
        let name = name(request);
        assert!(asserted.iter().any(|(request, _)| *request == name), "{name} asserts nothing");
    }
}

#[test]
#[ignore = "needs newman: NEWMAN, see .ci/run"]
fn newman_finds_out_a_deaf_server() {
    let server = Server::wrong("deaf", TICK);
    let expected = [
        "the server stopped: its list says cancelled, before all steps were done",
        "the server knows the reason",
    ];
    assert_eq!(Newman::play(&server, &[]).report().failed(), expected);
}

#[test]
#[ignore = "needs newman: NEWMAN, see .ci/run"]
fn newman_finds_out_other_wrong_servers() {
    let told = "the cancelled caller was told so once: error -32800";
    let last = "the error was the last word of its stream";
    let sibling = "the other caller got its result, and nothing else";
    let all_steps = "the other call did all its steps, and ended after the cancelled one";
    for (flaw, expected) in [
        ("forgetful", &["the server knows the reason"][..]),
        ("insistent", &[told, last]),
        ("clumsy", &[sibling, all_steps]),
    ] {
        let server = Server::wrong(flaw, TICK);
        assert_eq!(Newman::play(&server, &["2 Automatic"]).report().failed(), expected, "{flaw}");
    }
}

/// By hand: the call in one tab, the cancel in another.
#[test]
#[ignore = "needs newman: NEWMAN, see .ci/run"]
fn two_tabs() {
    let server = Server::http("1s");
    let opened = Newman::play(&server, &["1.1 Initialize", "1.2 Initialized"]).report();
    let session = opened.session();
    let call = Newman::play_in(session, &server, &["1.3 Start a call of 10 steps"]);
    server.line_with("step 1 of 10");
    let cancel = Newman::play_in(session, &server, &["1.4 Cancel it"]);
    cancel.report().asserts_that("the id travels as a number");
    call.report().asserts_that("cancelled: error -32800, and some steps are missing");
    let list = Newman::play_in(session, &server, &["1.5 List the calls"]);
    list.report().asserts_that("cancelled: steps are missing, and the reason has arrived");
}

/// What pressing Cancel does in Postman: the connection closes in the middle of the call.
#[test]
#[ignore = "needs newman: NEWMAN, see .ci/run"]
fn a_closed_connection_cancels_on_2026_07_28_alone() {
    let server = Server::http(TICK);
    let press_cancel = |call: Newman| {
        server.line_with("step 1 of 10");
        drop(call);
    };

    let call = "4.2 Start a call of 10 steps, and press Cancel";
    press_cancel(Newman::play(&server, &[call]));
    let end = server.line_with("cancelled");
    assert!(end.contains("request 100:") && end.ends_with("no reason given"), "{end}");
    Newman::play(&server, &["4.3 Did it stop?"]).report().asserts_that("there is no reason");

    let opened = Newman::play(&server, &["1.1 Initialize", "1.2 Initialized"]).report();
    let session = opened.session();
    press_cancel(Newman::play_in(session, &server, &["1.3 Start a call of 10 steps"]));
    let end = server.line_with("process_large_file finished");
    assert!(end.contains("request 2:") && end.ends_with("10 of 10 steps"), "{end}");
    let list = Newman::play_in(session, &server, &["1.5 List the calls"]);
    list.report().asserts_that("not cancelled: all steps are done, and there is no reason");
}

#[test]
#[ignore = "needs the schema that comes with newman: NEWMAN, see .ci/run"]
fn postmans_schema_holds() {
    let check = |collection: &Path| {
        let output = Command::new("node").arg(SCHEMA_CHECK).arg(collection).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(check(Path::new(COLLECTION)), (true, String::new()));

    let mut broken = collection();
    broken["item"][0]["item"][0]["request"]["header"][0]["key"] = json!(5);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("broken.postman_collection.json");
    std::fs::write(&path, broken.to_string()).unwrap();
    let found = "/item/0/item/0/request/header/0/key: must be string\n";
    assert_eq!(check(&path), (false, found.to_owned()));
}

//! The Postman collection: that it is in order, and what newman, Postman's own runner, finds
//! when it plays the collection against servers that cancel and servers that do not.
//!
//! newman comes from npm: `.ci/run` installs it and runs its tests with `-- --ignored`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use testing::newman::{COLLECTION, Newman, name};
use testing::process::Process;

const PROGRAM: &str = env!("CARGO_BIN_EXE_on-the-wire");

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../postman/README.md");
const SCHEMA_CHECK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postman/schema.js");

/// At this tick a run of the whole collection takes about 15 seconds, and in 2.2 there are
/// almost three of them for the cancel to reach the server.
const TICK: &str = "400ms";

fn collection() -> Value {
    serde_json::from_str(&std::fs::read_to_string(COLLECTION).unwrap()).unwrap()
}

/// The requests of all folders, in order.
fn requests() -> Vec<Value> {
    let collection = collection();
    let folders = collection["item"].as_array().unwrap();
    folders.iter().flat_map(|folder| folder["item"].as_array().unwrap().clone()).collect()
}

/// The message that a request sends. Postman fills in variables as text, before it is JSON.
fn message(request: &Value) -> Value {
    let body = filled(&request["request"]["body"]["raw"]);
    let body = body.as_str().unwrap().replace("{{$guid}}", "guid");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{}: {error}", name(request)))
}

/// A text with its variables filled in.
fn filled(text: &Value) -> Value {
    let Some(mut filled) = text.as_str().map(str::to_owned) else { return Value::Null };
    for variable in collection()["variable"].as_array().unwrap() {
        let [key, value] = ["key", "value"].map(|field| variable[field].as_str().unwrap());
        filled = filled.replace(&format!("{{{{{key}}}}}"), value);
    }
    Value::String(filled)
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
            // What the request is about: a tool, or a task.
            let params = message["params"].as_object().unwrap();
            let about = params.get("name").or(params.get("taskId")).cloned().unwrap_or_default();
            assert_eq!(filled(&header(&request, "Mcp-Name")), about, "{name}");
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

#[test]
#[ignore = "needs newman: NEWMAN, see .ci/run"]
fn newman_plays_the_whole_collection() {
    let server = Process::http(PROGRAM, TICK);
    let report = Newman::play(&server.url, &[]).report();
    assert_eq!(report.failed(), [""; 0]);
    let asserted = report.asserted();
    // On this server there are no tasks: see lessons/09-tasks/tests/story/external.rs.
    let skips = |name: &str| name.starts_with("5.") && !name.starts_with("5.1");
    for request in &requests() {
        let name = name(request);
        let asserts = asserted.iter().any(|(request, _)| *request == name);
        assert_eq!(asserts, !skips(name), "{name}");
    }
}

#[test]
#[ignore = "needs newman: NEWMAN, see .ci/run"]
fn newman_finds_out_a_deaf_server() {
    let server = Process::wrong(PROGRAM, "deaf", TICK);
    let expected = [
        "the server stopped: its list says cancelled, before all steps were done",
        "the server knows the reason",
    ];
    assert_eq!(Newman::play(&server.url, &[]).report().failed(), expected);
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
        let server = Process::wrong(PROGRAM, flaw, TICK);
        assert_eq!(
            Newman::play(&server.url, &["2 Automatic"]).report().failed(),
            expected,
            "{flaw}"
        );
    }
}

/// By hand: the call in one tab, the cancel in another.
#[test]
#[ignore = "needs newman: NEWMAN, see .ci/run"]
fn two_tabs() {
    // The call must last until another newman has started and has sent the cancel.
    let server = Process::http(PROGRAM, "5s");
    let opened = Newman::play(&server.url, &["1.1 Initialize", "1.2 Initialized"]).report();
    let session = opened.session();
    let call = Newman::play_in(session, &server.url, &["1.3 Start a call of 10 steps"]);
    server.line_with("starts, 10 steps");
    let cancel = Newman::play_in(session, &server.url, &["1.4 Cancel it"]);
    cancel.report().asserts_that("the id travels as a number");
    call.report().asserts_that("cancelled: error -32800, and some steps are missing");
    let list = Newman::play_in(session, &server.url, &["1.5 List the calls"]);
    list.report().asserts_that("cancelled: steps are missing, and the reason has arrived");
}

/// What pressing Cancel does in Postman: the connection closes in the middle of the call.
#[test]
#[ignore = "needs newman: NEWMAN, see .ci/run"]
fn a_closed_connection_cancels_on_2026_07_28_alone() {
    let server = Process::http(PROGRAM, TICK);
    let press_cancel = |call: Newman| {
        server.line_with("step 1 of 10");
        drop(call);
    };

    let call = "4.2 Start a call of 10 steps, and press Cancel";
    press_cancel(Newman::play(&server.url, &[call]));
    let end = server.line_with("cancelled");
    assert!(end.contains("request 100:") && end.ends_with("no reason given"), "{end}");
    Newman::play(&server.url, &["4.3 Did it stop?"]).report().asserts_that("there is no reason");

    let opened = Newman::play(&server.url, &["1.1 Initialize", "1.2 Initialized"]).report();
    let session = opened.session();
    press_cancel(Newman::play_in(session, &server.url, &["1.3 Start a call of 10 steps"]));
    let end = server.line_with("process_large_file finished");
    assert!(end.contains("request 2:") && end.ends_with("10 of 10 steps"), "{end}");
    let list = Newman::play_in(session, &server.url, &["1.5 List the calls"]);
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

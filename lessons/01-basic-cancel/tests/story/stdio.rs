//! What a server on standard input and output says after a cancel, line by line: nothing.

use std::time::Duration;

use serde_json::{Value, json};
use testing::process::Process;

const PROGRAM: &str = env!("CARGO_BIN_EXE_basic-cancel");

/// A message of either revision. 2026-07-28 carries in each what 2025-11-25 says once.
fn message(protocol: &str, id: Option<Value>, method: &str, mut params: Value) -> String {
    if protocol == "2026-07-28" {
        let meta = &mut params["_meta"];
        meta["io.modelcontextprotocol/protocolVersion"] = json!(protocol);
        meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "test", "version": "0" });
        meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
    }
    let mut message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
    if let Some(id) = id {
        message["id"] = id;
    }
    message.to_string()
}

fn work(protocol: &str, id: u32, steps: u32) -> String {
    let arguments = json!({ "filename": "part_0.csv", "processing_time": steps });
    let params = json!({
        "name": "process_large_file", "arguments": arguments, "_meta": { "progressToken": id }
    });
    message(protocol, Some(json!(id)), "tools/call", params)
}

fn cancel(params: Value) -> String {
    message("2025-11-25", None, "notifications/cancelled", params)
}

/// A server that is ready for calls of this revision.
fn open(protocol: &str) -> Process {
    let mut server = Process::stdio(PROGRAM, "20ms");
    if protocol == "2025-11-25" {
        let me = json!({ "name": "test", "version": "0" });
        let hello = json!({ "protocolVersion": protocol, "clientInfo": me, "capabilities": {} });
        server.say(&message(protocol, Some(json!("hello")), "initialize", hello));
        next(&server);
        server.say(&message(protocol, None, "notifications/initialized", json!({})));
    }
    server
}

fn next(server: &Process) -> Value {
    serde_json::from_str(&server.line()).unwrap()
}

/// The next message that is no progress.
fn answer(server: &Process) -> Value {
    std::iter::repeat_with(|| next(server)).find(|message| message["id"] != Value::Null).unwrap()
}

/// A cancelled call is met with silence: a later call is answered, and between the cancel
/// and the end of the connection there is not a word about the first.
fn silence(protocol: &str) {
    let mut server = open(protocol);
    server.say(&work(protocol, 1, 3600));
    assert_eq!(next(&server)["params"]["progressToken"], 1);
    server.say(&cancel(json!({ "requestId": 1, "reason": "a test" })));
    // The server may have spoken before it read the cancel, not once it has answered the next.
    server.say(&work(protocol, 2, 1));
    while next(&server)["params"]["progressToken"] != 2 {}
    assert_eq!(answer(&server)["id"], 2);
    server.say(&work(protocol, 3, 5));
    server.say(&message(protocol, Some(json!(4)), "tools/call", json!({ "name": "list_calls" })));
    let calls = answer(&server)["result"]["structuredContent"]["calls"].clone();
    assert_eq!((&calls[0]["state"], &calls[0]["reason"]), (&json!("cancelled"), &json!("a test")));
    assert_eq!(answer(&server)["id"], 3);
    server.hang_up();
    assert_eq!(server.rest(), [""; 0]);
}

#[test]
fn a_cancelled_call_is_met_with_silence_on_2025_11_25() {
    silence("2025-11-25");
}

#[test]
fn a_cancelled_call_is_met_with_silence_on_2026_07_28() {
    silence("2026-07-28");
}

/// None of these stops the call, and none of them is answered.
#[test]
fn what_names_no_open_call_is_ignored() {
    for protocol in ["2025-11-25", "2026-07-28"] {
        let mut server = open(protocol);
        server.say(&work(protocol, 1, 10));
        assert_eq!(next(&server)["params"]["progressToken"], 1);
        for params in [
            json!({ "requestId": 999 }),
            json!({ "requestId": "1" }),
            json!({ "reason": "no id" }),
            json!({ "requestId": { "id": 1 } }),
            json!({ "requestId": 1, "reason": 5 }),
        ] {
            server.say(&cancel(params));
        }
        server.say("this is not JSON");
        let first = answer(&server);
        assert_eq!((&first["id"], &first["result"]["isError"]), (&json!(1), &json!(false)));
        server.say(&work(protocol, 2, 1));
        assert_eq!(answer(&server)["id"], 2);
    }
}

/// `printf .. | server`: the input has ended, and the calls give all that they would have given.
#[test]
fn calls_are_answered_after_the_end_of_input() {
    for protocol in ["2025-11-25", "2026-07-28"] {
        let mut server = open(protocol);
        server.say(&work(protocol, 1, 10));
        server.hang_up();
        let said: Vec<Value> =
            server.rest().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let (result, progress) = said.split_last().expect("an answer");
        assert_eq!(result["result"]["isError"], false, "{result}");
        // One says that the tool runs, and one follows each step.
        assert_eq!(progress.len(), 11, "{progress:?}");
    }
}

#[test]
fn a_cancel_before_initialize_is_ignored() {
    let mut server = Process::stdio(PROGRAM, "20ms");
    server.say(&cancel(json!({ "requestId": 1 })));
    let me = json!({ "name": "test", "version": "0" });
    let hello = json!({ "protocolVersion": "2025-11-25", "clientInfo": me, "capabilities": {} });
    server.say(&message("2025-11-25", Some(json!(1)), "initialize", hello));
    assert_eq!(answer(&server)["result"]["protocolVersion"], "2025-11-25");
}

/// SIGINT and SIGTERM: the open call is answered, and the process ends.
#[test]
fn a_signal_stops_it_with_a_call_in_flight() {
    for signal in ["INT", "TERM"] {
        let mut server = open("2025-11-25");
        server.say(&work("2025-11-25", 1, 3600));
        assert_eq!(next(&server)["params"]["progressToken"], 1);
        server.signal(signal);
        assert_eq!(answer(&server)["error"]["message"], "the server is shutting down");
        assert!(server.ends_within(Duration::from_secs(2)).success());
    }
}

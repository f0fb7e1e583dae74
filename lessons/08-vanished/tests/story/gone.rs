//! What a server on standard input and output does when its input ends or nobody reads.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use course::lesson::Protocol::V2026;
use serde_json::{Value, json};
use testing::process::Process;
use testing::raw::{CANCELLED, notification, request};

use crate::PROGRAM;

const DEADLINE: Duration = Duration::from_secs(30);

/// A call that asks for no progress.
fn quiet_call(id: u32, steps: u32) -> String {
    let arguments = json!({ "filename": "part_0.csv", "processing_time": steps });
    let params = json!({ "name": "process_large_file", "arguments": arguments });
    request(V2026, &json!(id), "tools/call", params).to_string()
}

fn messages(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `printf .. | server` gets its results, and the server ends.
#[test]
fn an_answer_that_is_under_way_when_the_input_ends_still_comes() {
    let mut server = Process::stdio(PROGRAM, "20ms");
    server.say(&quiet_call(1, 10));
    server.hang_up();
    let rest = messages(&server.rest());
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert_eq!((&rest[0]["id"], &rest[0]["result"]["isError"]), (&json!(1), &json!(false)));
    assert!(server.ends_within(DEADLINE).success());
}

/// While the last answers go out, a cancelled call stays unanswered.
#[test]
fn a_cancelled_call_stays_unanswered_when_the_input_ends() {
    let mut server = Process::stdio(PROGRAM, "20ms");
    server.say(&quiet_call(1, 10));
    server.say(&quiet_call(2, 3600));
    server.say(&notification(CANCELLED, &json!({ "requestId": 2 })).to_string());
    server.hang_up();
    let rest = messages(&server.rest());
    let answered: Vec<_> = rest.iter().map(|message| &message["id"]).collect();
    assert_eq!(answered, [&json!(1)], "{rest:?}");
    assert!(server.ends_within(DEADLINE).success());
}

/// A call without an end is cancelled, and the server ends.
#[test]
fn a_call_without_an_end_does_not_outlive_the_input() {
    let mut server = Process::stdio(PROGRAM, "20ms");
    server.say(&quiet_call(1, 3600));
    server.hang_up();
    assert_eq!(messages(&server.rest()), [Value::Null; 0]);
    assert!(server.ends_within(DEADLINE).success());
}

/// A client that has stopped reading, until the pipe is full, cannot hold up the end.
#[test]
fn a_client_that_does_not_read_cannot_keep_its_server_alive() {
    let mut server = Command::new(PROGRAM);
    server.args(["serve", "--transport", "stdio", "--tick", "0ms", "-v"]);
    server.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = server.spawn().unwrap();
    let mut input = server.stdin.take().unwrap();
    // Ten calls of 3600 steps that tell of each: far more than a pipe holds.
    for id in 1..=10 {
        let call = testing::raw::tool_call(
            V2026,
            &json!(id),
            "process_large_file",
            &testing::raw::steps(3600),
        );
        writeln!(input, "{call}").unwrap();
    }
    let news = BufReader::new(server.stderr.take().unwrap()).lines();
    let mut started = news.map_while(Result::ok).filter(|line| line.contains("starts"));
    assert!(started.nth(9).is_some(), "ten calls have started");
    let pid = server.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
    let asked = Instant::now();
    while server.try_wait().unwrap().is_none() {
        if asked.elapsed() > DEADLINE {
            server.kill().unwrap();
            panic!("the server waits for its client for ever");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

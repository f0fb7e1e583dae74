//! The judge of clients: a well-behaved one passes, and each flaw is caught by its number.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::support::{Practice, check};
use serde_json::{Value, json};

/// What a client does next.
#[derive(Debug, Clone)]
enum Step {
    Say(Value),
    /// Reads until a line contains this.
    Hear(&'static str),
    Sleep(Duration),
}
use Step::{Hear, Say, Sleep};

fn call(id: u32, tool: &str) -> Step {
    let params = json!({ "name": tool, "arguments": {}, "_meta": { "progressToken": id } });
    Say(json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }))
}

fn cancel(id: &Value) -> Step {
    Say(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": { "requestId": id, "reason": "enough" } }))
}

/// A client that does everything right, in steps that have a name.
fn healthy() -> Vec<(&'static str, Step)> {
    let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "script", "version": "1" } } });
    vec![
        ("hello", Say(hello)),
        ("welcome", Hear("\"serverInfo\"")),
        ("call", call(1, "answer")),
        ("answered", Hear("at once")),
        ("work", call(2, "cancel_me")),
        ("works", Hear("\"progressToken\":2")),
        ("cancel", cancel(&json!(2))),
        ("wait", call(3, "time_out")),
        ("give up", cancel(&json!(3))),
        ("lives", call(6, "keep_alive")),
        ("kept alive", Hear("kept alive")),
        ("for ever", call(7, "never_end")),
        ("too long", Hear("\"progressToken\":7")),
        ("limit", cancel(&json!(7))),
        ("late", call(4, "answer_late")),
        ("late works", Hear("\"progressToken\":4")),
        ("late cancel", cancel(&json!(4))),
        ("too late", Hear("too late")),
        ("report", call(5, "report")),
        ("told", Hear("\"id\":5")),
    ]
}

/// Plays the steps on stdio, and returns what the judge says.
fn play(steps: &[(&str, Step)]) -> String {
    let mut command = check();
    command.args(["client", "--json"]);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut judge = piped.spawn().unwrap();
    let mut input = judge.stdin.take().unwrap();
    let mut output = BufReader::new(judge.stdout.take().unwrap()).lines().map_while(Result::ok);
    for (_, step) in steps {
        match step {
            Say(message) => writeln!(input, "{message}").unwrap(),
            Hear(words) => assert!(output.any(|line| line.contains(words)), "never heard {words}"),
            Sleep(time) => thread::sleep(*time),
        }
    }
    drop(input);
    let mut said = String::new();
    judge.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    judge.wait().unwrap();
    said
}

fn verdict(said: &str, number: u32) -> String {
    let report =
        said.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{said}"));
    let report: Value = serde_json::from_str(report).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["number"] == number).unwrap();
    found["verdict"].as_str().unwrap().to_owned()
}

#[test]
fn a_good_client_passes() {
    let said = play(&healthy());
    for number in 50..=56 {
        assert_eq!(verdict(&said, number), "pass", "{number}: {said}");
    }
}

#[test]
fn every_flaw_of_a_client_is_caught_by_its_number() {
    let without = |name: &str| {
        let mut steps = healthy();
        steps.retain(|(step, _)| *step != name);
        steps
    };
    let with = |after: &str, step: Step| {
        let mut steps = healthy();
        let place = steps.iter().position(|(name, _)| *name == after).unwrap();
        steps.insert(place + 1, ("flaw", step));
        steps
    };
    let mut cut = healthy();
    cut.truncate(cut.iter().position(|(name, _)| *name == "report").unwrap());
    let mut deaf = without("kept alive");
    let lives = deaf.iter().position(|(name, _)| *name == "lives").unwrap();
    deaf.insert(lives + 1, ("flaw", cancel(&json!(6))));
    let mut typed = without("cancel");
    typed.insert(6, ("flaw", cancel(&json!("2"))));
    let cases = [
        (50, "no cancel", without("cancel"), "fail"),
        (50, "two cancels", with("cancel", cancel(&json!(2))), "warn"),
        (50, "the id as a string", typed.clone(), "fail"),
        (51, "no cancel at the timeout", without("give up"), "fail"),
        (51, "progress does not reset the timeout", deaf, "remark"),
        (51, "no limit on the whole", without("limit"), "warn"),
        (52, "the handshake is cancelled", with("welcome", cancel(&json!(0))), "fail"),
        (53, "a finished call is cancelled", with("answered", cancel(&json!(1))), "fail"),
        (54, "an unused id is cancelled", with("cancel", cancel(&json!(99))), "fail"),
        (54, "the id as a string", typed, "fail"),
        (55, "a late answer ends the client", cut, "fail"),
        (56, "the caller waits", with("cancel", Sleep(Duration::from_millis(5500))), "fail"),
    ];
    thread::scope(|scope| {
        for (number, flaw, steps, expected) in &cases {
            scope.spawn(move || {
                let said = play(steps);
                assert_eq!(verdict(&said, *number), *expected, "{number}: {flaw}");
            });
        }
    });
}

/// HTTP 2026-07-28: a client that closes the stream, and two that do not.
#[tokio::test]
async fn closing_the_stream_is_the_cancel() {
    for (flaw, expected) in [("none", "pass"), ("posts", "fail"), ("leaves it open", "fail")] {
        let mut command = check();
        command.args(["client", "--http", "127.0.0.1:0", "--json"]);
        let (judge, report) = Practice::with_output(command);
        let http = reqwest::Client::new();
        let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28" });
        let call = |id: u32, tool: &str, go_on: bool| {
            let arguments = json!({ "go_on": go_on });
            let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
            let body = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call",
                "params": params });
            http.post(&judge.url).body(body.to_string()).send()
        };
        let open = call(1, "cancel_me", false).await.unwrap();
        let mut held = None;
        if flaw == "none" {
            drop(open);
        } else {
            held = Some(open);
        }
        if flaw == "posts" {
            let Say(cancel) = cancel(&json!(1)) else { unreachable!() };
            http.post(&judge.url).body(cancel.to_string()).send().await.unwrap();
        }
        // The server notices a closed stream a moment later.
        let mut verdict_now = String::new();
        for id in 2..200 {
            let table = call(id, "report", true).await.unwrap().text().await.unwrap();
            if flaw != "none" || table.contains("57 pass") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let table = call(200, "report", false).await.unwrap().text().await.unwrap();
        assert!(table.contains("57"), "{table}");
        for line in report {
            if line.starts_with('{') {
                verdict_now = verdict(&line, 57);
            }
        }
        drop(held);
        assert_eq!(verdict_now, expected, "{flaw}");
    }
}

/// A client that keeps its end open, as many do: the report is the end, nothing else is needed.
/// A byte that is no UTF-8 is a message like any other that is none.
#[test]
fn the_report_ends_the_check_though_the_client_stays() {
    let mut command = check();
    let piped = command.args(["client", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut judge = piped.stderr(Stdio::piped()).spawn().unwrap();
    let mut input = judge.stdin.take().unwrap();
    input.write_all(b"\xff\xfe\n").unwrap();
    let Say(report) = call(5, "report") else { panic!() };
    writeln!(input, "{report}").unwrap();
    let mut said = String::new();
    // Both end with the judge. `input` is still open.
    BufReader::new(judge.stdout.take().unwrap()).read_to_string(&mut String::new()).unwrap();
    judge.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("\"findings\""), "{said}");
    assert_eq!(judge.wait().unwrap().code().map(|code| code < 2), Some(true), "{said}");
    drop(input);
}

/// `practice` reads on behind such a byte.
#[test]
fn the_practice_server_outlives_a_byte_that_is_no_text() {
    let mut command = check();
    let mut server =
        command.arg("practice").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = server.stdin.take().unwrap();
    input.write_all(b"\xff\xfe\n").unwrap();
    writeln!(input, r#"{{"jsonrpc":"2.0","id":1,"method":"ping"}}"#).unwrap();
    let mut answer = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut answer).unwrap();
    assert!(answer.contains("\"id\":1"), "{answer}");
    drop(input);
    server.wait().unwrap();
}

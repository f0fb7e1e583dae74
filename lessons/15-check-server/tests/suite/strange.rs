//! Servers that answer strangely, older ones, and programs that are no MCP server: each gets a
//! verdict, or a sentence that helps.

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::support::{BINARY, Practice, Report, answering, check};
use crate::tool::refusal;

/// The handshake, and what needs no thought. None for the rest.
fn polite(message: &Value, revision: &str) -> Option<Response> {
    let result = match message["method"].as_str()? {
        "initialize" => json!({ "protocolVersion": revision, "capabilities": { "tools": {} },
            "serverInfo": { "name": "strange", "version": "1" } }),
        "ping" => json!({}),
        "server/discover" => return Some(StatusCode::NOT_FOUND.into_response()),
        method if method.starts_with("notifications/") => {
            return Some(StatusCode::ACCEPTED.into_response());
        }
        _ => return None,
    };
    Some(answer(message, &json!({ "result": result })))
}

fn answer(message: &Value, with: &Value) -> Response {
    let mut answer = with.clone();
    answer["jsonrpc"] = json!("2.0");
    answer["id"] = message["id"].clone();
    ([("content-type", "application/json")], answer.to_string()).into_response()
}

#[test]
fn tools_that_are_no_list_are_refused() {
    let text = |_: &HeaderMap, message: &Value| {
        polite(message, "2025-11-25").unwrap_or_else(|| answer(message, &json!({ "result": "x" })))
    };
    let said = refusal(&[&answering(text)]);
    assert!(said.contains("`tools/list` named no tools"), "{said}");
}

/// Some servers send both members, one of them null. What they name may hold control characters.
#[test]
fn a_null_error_is_none_and_a_name_does_not_reach_the_terminal_as_it_is() {
    let nulls = |_: &HeaderMap, message: &Value| {
        let schema = json!({ "properties": { "seconds": { "type": "number" } } });
        let result = match message["method"].as_str() {
            Some("tools/list") => {
                json!({ "tools": [{ "name": "slow\u{1b}[31m", "inputSchema": schema }] })
            }
            Some("tools/call") => {
                json!({ "isError": true, "content": [{ "type": "text", "text": "\u{1b}[2Jno" }] })
            }
            _ => return polite(message, "2025-11-25").unwrap(),
        };
        answer(message, &json!({ "result": result, "error": null }))
    };
    let url = answering(nulls);
    let said = refusal(&[&url]);
    assert!(said.contains("calling the tool `slow[31m` with"), "{said}");
    assert!(said.contains("the tool `slow[31m` failed: [2Jno"), "{said}");
    let other = refusal(&[&url, "--tool", "x"]);
    assert!(other.contains("it has: slow[31m"), "{other}");
    assert!(!said.contains('\u{1b}') && !other.contains('\u{1b}'), "{said}{other}");
}

/// A server that knows only an older revision refuses requests that name another.
#[test]
fn an_older_server_hears_the_revision_that_it_has_named() {
    let older = |headers: &HeaderMap, message: &Value| {
        let named = headers.get("mcp-protocol-version").map(|value| value.to_str().unwrap());
        if message["method"] != "initialize" && named != Some("2025-06-18") {
            let why = json!({ "code": -32600, "message": "Unsupported protocol version" });
            return answer(&json!({ "id": "server-error" }), &json!({ "error": why }));
        }
        polite(message, "2025-06-18")
            .unwrap_or_else(|| answer(message, &json!({ "result": { "tools": [] } })))
    };
    let url = answering(older);
    for arguments in [&[&url[..]][..], &["bench", &url]] {
        let said = refusal(arguments);
        assert!(said.contains("no slow tool is recognized among: no tools"), "{said}");
    }
}

#[test]
fn a_wrong_path_is_said_once_with_what_was_answered() {
    let nowhere = |_: &HeaderMap, _: &Value| {
        (StatusCode::NOT_FOUND, "<html>there is\nnothing here").into_response()
    };
    let page = |_: &HeaderMap, _: &Value| "<html>welcome".into_response();
    for (url, status, body) in [
        (answering(nowhere), "HTTP 404", "<html>there isnothing here"),
        (answering(page), "HTTP 200", "<html>welcome"),
    ] {
        let said = refusal(&[&url]);
        for part in [status, body, "is the path right? most servers use /mcp"] {
            assert_eq!(said.matches(part).count(), 1, "{part} in {said}");
        }
    }
}

#[test]
fn a_program_that_writes_for_ever_is_no_server() {
    let said = refusal(&["--", "yes"]);
    let why = "does not speak MCP on its standard output; it wrote: y";
    assert_eq!(said.matches(why).count(), 1, "{said}");
}

/// It is no blocked server: it is none any more.
#[test]
fn a_server_that_ends_when_its_tool_is_called_is_said_to() {
    let http = Practice::http(&["--wrong", "dies"]);
    let stdio = ["--", BINARY, "practice", "--wrong", "dies"];
    for (server, how) in
        [(&stdio[..], "exit status: 3"), (&[&http.url], "nobody listens there any more")]
    {
        let mut checker = check();
        checker.args(["--json", "--limit", "120", "--protocol", "2025-11-25", "--only", "1,7,16"]);
        let report = Report::of(checker.args(server));
        let says = |number: u32| {
            let found = report.finding(number);
            format!("{}: {}", found["verdict"].as_str().unwrap(), found["seen"].as_str().unwrap())
        };
        let ended = "the server ended when the tool was called";
        assert_eq!(says(16), format!("fail: {ended} ({how})"));
        let unseen = format!("not observable: {ended}, see 16");
        assert_eq!([says(1), says(7)], [unseen.as_str(); 2]);
    }
}

/// SIGTERM needs no program of this machine.
#[test]
fn a_server_can_be_told_to_end_where_there_is_no_kill() {
    let empty = tempfile::tempdir().unwrap();
    let mut checker = check();
    checker.env("PATH", empty.path()).args(["--json", "--limit", "120", "--only", "25", "--"]);
    let report = Report::of(checker.args([BINARY, "practice", "--wrong", "waits-for-its-reader"]));
    assert_eq!(report.verdict(25), "warn", "{}", report.json);
}

#[test]
fn a_cancel_that_is_never_answered_ends_the_bench() {
    let server = Practice::http(&["--wrong", "cancel-hangs"]);
    let said = refusal(&["bench", &server.url, "--limit", "100"]);
    assert!(said.contains("a cancel was not answered in time"), "{said}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for program in ["practice", "client"] {
        let said = refusal(&[program, "--http", &addr]);
        assert!(said.contains(&addr) && said.contains("port 0 takes a free one"), "{said}");
    }
}

#[test]
fn a_number_that_is_not_checked_here_has_a_reason() {
    let practice = Practice::http(&[]);
    for (arguments, says) in [
        (
            &["--only", "24", "--", BINARY, "practice"][..],
            "24 is not checked here: it is about HTTP",
        ),
        (&["--only", "21,50", &practice.url], "21 is not checked here: it is about stdio"),
        (&["--only", "50", &practice.url], "50 is not checked here: it is about clients"),
    ] {
        let said = refusal(arguments);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}

//! The serving terminal: what it shows, how it stops, what it refuses.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use assert_cmd::Command;
use course::port::Port;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::{contains, is_empty};
use rmcp::model::ProtocolVersion;
use rmcp::service::PeerRequestOptions;
use serde_json::json;
use shared::client::{Client, tool_call};
use testing::process::{DEADLINE, Process};
use tokio::time::timeout;

const PROGRAM: &str = env!("CARGO_BIN_EXE_basic-cancel");

const STOP: Duration = Duration::from_secs(10);

fn basic_cancel(arguments: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_basic-cancel"));
    program.args(arguments.split(' ')).timeout(Duration::from_secs(60));
    program
}

#[test]
fn two_terminals() {
    let server = Process::http(PROGRAM, "100ms");
    basic_cancel("client --url").arg(&server.url).assert().success().stderr(is_empty());
    let first = server.line_with("process_large_file starts, 10 steps");
    let (_, request) = first.split_once(' ').unwrap();
    let (request, _) = request.trim().split_once(": ").unwrap();
    for step in 1..=3 {
        let line = server.line();
        assert!(line.contains(&format!("step {step} of 10")), "{line}");
    }
    let end = server.line_with("cancelled");
    assert!(
        end.contains("of 10 steps, reason: the user pressed stop") && end.contains(request),
        "{end}"
    );
}

#[test]
fn two_terminals_on_2026_07_28() {
    let server = Process::http(PROGRAM, "100ms");
    let client = basic_cancel("client --protocol 2026-07-28 --url").arg(&server.url).assert();
    client.success().stderr(is_empty());
    assert!(server.line_with("cancelled").ends_with("of 10 steps, no reason given"));
}

/// `serve | head -3`: nobody reads the news of the call, and its caller gets the result.
#[test]
fn a_server_whose_output_is_closed_serves_on() {
    let mut serve = std::process::Command::new(PROGRAM);
    serve.args(["serve", "--addr", "127.0.0.1:0", "--tick", "10ms"]).stdout(Stdio::piped());
    let mut server = serve.spawn().unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let head: Vec<_> = lines.take(3).map(Result::unwrap).collect();
    let url = head[0].rsplit(' ').next().unwrap();
    let result = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let client = Client::http(url, ProtocolVersion::V_2025_11_25).await?;
        client.call("process_large_file", json!({ "filename": "part_0.csv" })).await
    });
    server.kill().unwrap();
    server.wait().unwrap();
    result.unwrap();
}

/// Calls of both revisions are at work when the signal comes.
fn stops_on(signal: &str) {
    let mut server = Process::http(PROGRAM, "100ms");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut clients = Vec::new();
        for protocol in [ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2026_07_28] {
            let client = Client::http(&server.url, protocol).await.unwrap();
            let mut progress = client.progress();
            let call = tool_call(
                "process_large_file",
                json!({ "filename": "part_0.csv", "processing_time": 3600 }),
            );
            let handle = client
                .send_cancellable_request(call, PeerRequestOptions::no_options())
                .await
                .unwrap();
            progress.next_of(&handle.progress_token).await.unwrap();
            clients.push((client, handle));
        }
        server.signal(signal);
        for (_client, handle) in clients {
            let answer = timeout(STOP, handle.await_response()).await.expect("an answer, no hang");
            let error = answer.unwrap_err().to_string();
            assert!(error.contains("the server is shutting down"), "{error}");
        }
    });
    assert!(server.ends_within(STOP).success());
}

/// The signal is sent as soon as the line is read that invites to it.
#[test]
fn ctrl_c_stops_it_as_soon_as_it_says_so() {
    for _ in 0..10 {
        let mut server = Process::http(PROGRAM, "1s");
        assert!(server.line().ends_with(&server.url.replace("/mcp", "/")), "the page's address");
        assert!(server.line().ends_with("Ctrl-C stops it"));
        server.signal("INT");
        assert!(server.ends_within(DEADLINE).success());
        assert_eq!(server.line(), "👋 stopped");
    }
}

#[test]
fn ctrl_c_stops_it_with_calls_in_flight() {
    stops_on("INT");
}

#[test]
fn sigterm_stops_it_with_calls_in_flight() {
    stops_on("TERM");
}

#[test]
fn a_taken_port_is_named_with_a_way_out() {
    let server = Process::http(PROGRAM, "100ms");
    let taken = server.url.trim_start_matches("http://").trim_end_matches("/mcp");
    let refused = basic_cancel("serve --addr").arg(taken).assert().code(1);
    refused.stderr(contains(format!("cannot listen on {taken}; --addr 127.0.0.1:0 takes")));
    basic_cancel("client --url").arg(&server.url).timeout(DEADLINE * 2).assert().success();
}

#[test]
fn a_client_without_a_server_says_how_to_start_one() {
    let nobody = Port::keep().unwrap();
    let url = format!("http://{}/mcp", nobody.address());
    let lost = basic_cancel("client --url").arg(url).assert().code(1);
    lost.stderr(contains("no MCP server answers at").and(contains("start one with `serve`")));
}

#[test]
fn what_is_for_the_server_is_not_taken_by_the_client() {
    for option in ["--wrong deaf", "--tick 1s"] {
        let refused = basic_cancel(&format!("client {option}")).assert().code(2);
        refused.stderr(contains("--tick and --wrong are for the server: give them to `serve`"));
    }
}

#[test]
fn an_address_and_a_url_are_shown_how_to_write() {
    basic_cancel("serve --addr 8000").assert().code(2).stderr(contains("as in 127.0.0.1:8000"));
    let refused = basic_cancel("client --url localhost:8000").assert().code(2);
    refused.stderr(contains("as in http://localhost:8000/mcp"));
}

#[test]
fn a_stdio_client_starts_its_own_server() {
    let refused = basic_cancel("client --transport stdio").assert().code(2);
    refused.stderr(contains("a stdio server is started by its client"));
}

#[test]
fn a_data_folder_that_is_not_there() {
    let refused = basic_cancel("serve --addr 127.0.0.1:0 --data /no/such/folder").assert().code(1);
    refused.stderr(contains("cannot serve files from /no/such/folder"));
}

#[test]
fn a_tick_without_a_unit_or_too_long() {
    basic_cancel("--tick 5").assert().code(2).stderr(contains("as in 50ms or 1s"));
    basic_cancel("--tick 1h").assert().code(2).stderr(contains("a step may last 5s at most"));
}

/// Ctrl-C in the client's terminal, while its call runs: how does the server say it ended?
fn a_client_leaves(protocol: &str) -> String {
    let server = Process::http(PROGRAM, "200ms");
    let mut client = std::process::Command::new(env!("CARGO_BIN_EXE_basic-cancel"))
        .args(["client", "--protocol", protocol, "--url", &server.url])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    server.line_with("step 1 of 10");
    let pid = client.id().to_string();
    let kill = std::process::Command::new("kill").args(["-s", "INT", &pid]).status();
    assert!(kill.unwrap().success() && !client.wait().unwrap().success());
    server.line_with("process_large_file")
}

#[test]
fn a_client_of_2025_11_25_that_is_gone_leaves_its_call_running() {
    let end = a_client_leaves("2025-11-25");
    assert!(end.contains("process_large_file finished, 10 of 10 steps"), "{end}");
}

#[test]
fn a_client_of_2026_07_28_that_is_gone_takes_its_call_along() {
    let end = a_client_leaves("2026-07-28");
    assert!(end.contains("process_large_file cancelled after"), "{end}");
}

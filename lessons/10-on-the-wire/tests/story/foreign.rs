//! Clients and servers in other languages: what does the caller see, and does the tool stop?
//!
//! docs/src/what-the-caller-sees.md holds the answers, in two tables. Each test here makes the
//! rows of one SDK anew and compares them with the page. Most need an SDK that a bare machine
//! lacks: `.ci/run` installs them all and runs these tests with `-- --ignored`.

#[path = "../rust/two_ways.rs"]
mod two_ways;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use course::lesson::Protocol;
use course::stage::Stage;
use rmcp::model::{ClientCapabilities, ProtocolVersion};
use serde_json::json;
use shared::calls::State;
use shared::client::Client;
use shared::dataset::DataFolder;
use testing::process::Process;

const PROGRAM: &str = env!("CARGO_BIN_EXE_on-the-wire");

const RMCP: &str = "rmcp 3.9.0";
const PYTHON_1: &str = "Python SDK 1.30.0";
const PYTHON_2: &str = "Python SDK 2.3.0";
const TYPESCRIPT_1: &str = "TypeScript SDK 1.32.2";
const TYPESCRIPT_2: &str = "TypeScript SDK 2.4.0";
const CURL: &str = "curl";

/// A transport and a revision.
type Way = (&'static str, &'static str);
const HTTP_2025: Way = ("http", "2025-11-25");
const HTTP_2026: Way = ("http", "2026-07-28");
const STDIO_2025: Way = ("stdio", "2025-11-25");
const STDIO_2026: Way = ("stdio", "2026-07-28");
const EVERYWHERE: [Way; 4] = [HTTP_2025, HTTP_2026, STDIO_2025, STDIO_2026];

const TICK: &str = "200ms";

#[test]
fn rmcp_as_client() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let seen = ["cancel by id", "drop the call"]
        .map(|how| EVERYWHERE.map(|way| runtime.block_on(rmcp_row(how, way)).unwrap()));
    the_page_shows("Clients", RMCP, seen.as_flattened());
}

#[test]
#[ignore = "needs the Python SDK 1.x: PYTHON_MCP_1, see .ci/run"]
fn python_1_as_client() {
    let by_id = || python("1", "cancel_by_id_1.py", &[]);
    let abandon = || python("1", "abandon_1.py", &[]);
    let seen = [
        client_row(PYTHON_1, "cancel by id", HTTP_2025, by_id()),
        client_row(PYTHON_1, "cancel by id", STDIO_2025, by_id()),
        client_row(PYTHON_1, "abandon the call", HTTP_2025, abandon()),
    ];
    the_page_shows("Clients", PYTHON_1, &seen);
}

#[test]
#[ignore = "needs the Python SDK 2.x: PYTHON_MCP_2, see .ci/run"]
fn python_2_as_client() {
    let abandon = |way: Way| python("2", "abandon_2.py", &[way.1]);
    let seen = EVERYWHERE.map(|way| client_row(PYTHON_2, "abandon the call", way, abandon(way)));
    the_page_shows("Clients", PYTHON_2, &seen);
}

#[test]
#[ignore = "needs node and the TypeScript SDKs, see .ci/run"]
fn typescript_1_as_client() {
    let abort = || node("abort_1.mjs", &[]);
    let ways = [HTTP_2025, STDIO_2025];
    let seen = ways.map(|way| client_row(TYPESCRIPT_1, "AbortSignal", way, abort()));
    the_page_shows("Clients", TYPESCRIPT_1, &seen);
}

#[test]
#[ignore = "needs node and the TypeScript SDKs, see .ci/run"]
fn typescript_2_as_client() {
    let abort = |way: Way| node("abort_2.mjs", &[way.1]);
    let seen = EVERYWHERE.map(|way| client_row(TYPESCRIPT_2, "AbortSignal", way, abort(way)));
    the_page_shows("Clients", TYPESCRIPT_2, &seen);
}

#[test]
#[ignore = "needs bash and curl, see .ci/run"]
fn curl_as_client() {
    let seen = [
        client_row(CURL, "cancel by id", HTTP_2025, bash("cancel_by_id.sh")),
        client_row(CURL, "close the stream", HTTP_2026, bash("close_stream.sh")),
    ];
    the_page_shows("Clients", CURL, &seen);
}

#[test]
#[ignore = "needs the Python SDK 2.x: PYTHON_MCP_2, see .ci/run"]
fn python_2_as_server() {
    let server = || python("2", "server_2.py", &[]);
    let seen = [HTTP_2025, HTTP_2026].map(|way| server_row(PYTHON_2, way, server()));
    the_page_shows("Servers", PYTHON_2, &seen);
}

#[test]
#[ignore = "needs node and the TypeScript SDKs, see .ci/run"]
fn typescript_2_as_server() {
    let server = || node("server_2.mjs", &[]);
    let seen = [HTTP_2025, HTTP_2026].map(|way| server_row(TYPESCRIPT_2, way, server()));
    the_page_shows("Servers", TYPESCRIPT_2, &seen);
}

/// No row of the page is left to itself, and each names the version that is installed.
#[test]
fn the_page_shows_nothing_else() {
    let pins = [
        (RMCP, "../../Cargo.lock"),
        (PYTHON_1, "tests/python/requirements-1.txt"),
        (PYTHON_2, "tests/python/requirements-2.txt"),
        (TYPESCRIPT_1, "tests/typescript/package.json"),
        (TYPESCRIPT_2, "tests/typescript/package.json"),
    ];
    for (sdk, file) in pins {
        let version = sdk.rsplit(' ').next().unwrap();
        assert!(read(file).contains(version), "{sdk} is not what {file} installs");
    }
    let clients = [RMCP, PYTHON_1, PYTHON_2, TYPESCRIPT_1, TYPESCRIPT_2, CURL];
    for (heading, observed) in [("Clients", &clients[..]), ("Servers", &[PYTHON_2, TYPESCRIPT_2])] {
        for row in rows_of_the_page(heading) {
            assert!(observed.iter().any(|sdk| is_of(sdk, &row)), "no test makes this row: {row}");
        }
    }
}

fn python(major: &str, script: &str, arguments: &[&str]) -> Command {
    let interpreter = format!("PYTHON_MCP_{major}");
    let interpreter = std::env::var(&interpreter)
        .unwrap_or_else(|_| panic!("{interpreter} must name a Python, see .ci/run"));
    script_of(&interpreter, &format!("tests/python/{script}"), arguments)
}

fn node(script: &str, arguments: &[&str]) -> Command {
    script_of("node", &format!("tests/typescript/{script}"), arguments)
}

fn bash(script: &str) -> Command {
    script_of("bash", &format!("tests/curl/{script}"), &[])
}

fn script_of(interpreter: &str, path: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).args(arguments);
    command
}

/// Runs a client that starts a call and stops it. The row says what it saw, and what the
/// server told it about the call; on HTTP the serving terminal must tell the same.
fn client_row(sdk: &str, how: &str, (transport, revision): Way, mut client: Command) -> String {
    let server = (transport == "http").then(|| Process::http(PROGRAM, TICK));
    match &server {
        Some(server) => client.arg(&server.url),
        None => client.args([PROGRAM, "serve", "--transport", "stdio", "--tick", TICK]),
    };
    let printed = what_it_prints(client);
    let lines: Vec<_> = printed.lines().collect();
    let [caller, told] = lines[..] else { panic!("two lines, not {printed}") };
    let caller = caller.strip_prefix("caller: ").unwrap();
    let told = told.strip_prefix("server: ").unwrap();
    if let Some(server) = server
        && !told.starts_with("running")
    {
        assert_eq!(told, as_the_terminal_tells(&server));
    }
    format!("| {sdk} | {how} | {transport} | {revision} | {caller} | {told} |")
}

fn what_it_prints(program: Command) -> String {
    let mut program = assert_cmd::Command::from_std(program);
    let run = program.timeout(Duration::from_secs(60)).assert().success();
    String::from_utf8(run.get_output().stdout.clone()).unwrap()
}

/// How the call ended, by the line that the server printed.
fn as_the_terminal_tells(server: &Process) -> String {
    let line = server.line_with("cancelled after");
    let reason = line.split_once(", reason: ").map(|(_, reason)| reason);
    format!("cancelled, reason {}", json!(reason))
}

async fn rmcp_row(how: &str, (transport, revision): Way) -> anyhow::Result<String> {
    let version = match revision {
        "2025-11-25" => ProtocolVersion::V_2025_11_25,
        _ => ProtocolVersion::V_2026_07_28,
    };
    let server = (transport == "http").then(|| Process::http(PROGRAM, TICK));
    let client = if let Some(server) = &server {
        Client::http(&server.url, version).await?
    } else {
        let mut child = tokio::process::Command::new(PROGRAM);
        child.args(["serve", "--transport", "stdio", "--tick", TICK]);
        Client::child_as(ClientCapabilities::default(), child, version).await?
    };
    let caller = match how {
        "cancel by id" => two_ways::cancel_by_id(&client).await?,
        _ => two_ways::drop_the_call(&client).await?,
    };
    let call = json!(client.ask_until_all_ended().await?.pop());
    let told = format!("{}, reason {}", call["state"].as_str().unwrap(), call["reason"]);
    client.close().await?;
    if let Some(server) = &server {
        assert_eq!(told, as_the_terminal_tells(server));
    }
    Ok(format!("| {RMCP} | {how} | {transport} | {revision} | {caller} | {told} |"))
}

/// Plays lesson 1 against a foreign server. The row says what came of it, and which reason
/// the server kept.
fn server_row(sdk: &str, (transport, revision): Way, mut server: Command) -> String {
    DataFolder::sample().unwrap();
    server.arg(std::env::current_exe().unwrap().with_file_name("sample-data"));
    let server = Process::at_a_url(server);
    let protocol = if revision == "2025-11-25" { Protocol::V2025 } else { Protocol::V2026 };
    let mut stage = Stage::over_http(&server.url, protocol);
    stage.foreign = true;
    let (played, calls) = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let played = (basic_cancel::LESSON.story)(&stage).await;
        let client = stage.connect().await.unwrap();
        (played, client.list_calls().await.unwrap())
    });
    let verdict = match played {
        Ok(()) => "every claim held".to_owned(),
        Err(complaint) => format!("{complaint:#}"),
    };
    let cancelled = calls.iter().find(|call| call.state == State::Cancelled);
    let reason = cancelled.and_then(|call| call.reason.as_deref());
    let reason = reason.unwrap_or("(a closed stream carries none)");
    format!("| {sdk} | {transport} | {revision} | {verdict} | {reason} |")
}

/// The rows under a heading of the page.
fn rows_of_the_page(heading: &str) -> Vec<String> {
    let page = read("../../docs/src/what-the-caller-sees.md");
    let sections: Vec<_> = page.split("\n## ").collect();
    let section = sections.iter().find(|section| section.starts_with(heading)).unwrap();
    let table = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    table.map(str::to_owned).collect()
}

fn is_of(sdk: &str, row: &str) -> bool {
    row.starts_with(&format!("| {sdk} |"))
}

fn the_page_shows(heading: &str, sdk: &str, seen: &[String]) {
    let mut shown = rows_of_the_page(heading);
    shown.retain(|row| is_of(sdk, row));
    let (shown, seen) = (shown.join("\n"), seen.join("\n"));
    assert!(shown == seen, "the page shows\n{shown}\nbut what happens is\n{seen}");
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

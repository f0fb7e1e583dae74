//! The MCP Inspector in a browser, used as docs/src/inspector.md says: `tests/inspector`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use course::lesson::Protocol;
use course::port::Port;
use serde_json::{Value, json};
use shared::calls::{CallRecord, State};
use tempfile::TempDir;
use testing::process::{DEADLINE, Process};
use testing::raw::{RawClient, in_time};
use tokio::time::sleep;

const PROGRAM: &str = env!("CARGO_BIN_EXE_on-the-wire");
/// How many steps `inspector.mjs` asks for: it cancels long before the last.
const STEPS: u32 = 600;
/// The Inspector's page when it has cancelled.
const PICTURE: &str = "page.png";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node, MCP_INSPECTOR, PLAYWRIGHT and CHROMIUM, see .ci/run"]
async fn cancel_stops_the_tool_in_the_legacy_era() {
    cancel_stops_the_tool("legacy", Protocol::V2025).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node, MCP_INSPECTOR, PLAYWRIGHT and CHROMIUM, see .ci/run"]
async fn cancel_stops_the_tool_in_the_modern_era() {
    cancel_stops_the_tool("modern", Protocol::V2026).await;
}

/// The Inspector says "Tool call cancelled" all the same.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node, MCP_INSPECTOR, PLAYWRIGHT and CHROMIUM, see .ci/run"]
async fn a_tool_that_does_not_listen_runs_on() {
    let server = Process::wrong(PROGRAM, "deaf", "1s");
    let asker = RawClient::open(&server.url, Protocol::V2025).await;
    let mut inspector = Inspector::at_work(&server, "legacy");
    inspector.cancel();
    let before = only_call(&asker).await.steps_done;
    let works_on = |call: &CallRecord| call.steps_done >= before + 3;
    let call = until(&asker, works_on).await;
    assert_eq!(call.state, State::Running);
    inspector.end("running");
}

/// Cancels a call in the Inspector, and asks the server. What both say is a row of the page.
///
/// It leaves `target/inspector-ERA.png`, a picture that the page shows.
async fn cancel_stops_the_tool(era: &str, protocol: Protocol) {
    let server = Process::http(PROGRAM, "1s");
    let asker = RawClient::open(&server.url, Protocol::V2025).await;
    let mut inspector = Inspector::at_work(&server, era);
    let running = only_call(&asker).await;
    assert_eq!((running.state, running.steps_total), (State::Running, STEPS));
    assert!(running.steps_done >= 2, "{running:?}");

    inspector.cancel();
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let picture = target.join(format!("inspector-{era}.png"));
    std::fs::copy(inspector.home.path().join(PICTURE), picture).unwrap();
    let ended = until(&asker, |call| call.state != State::Running).await;
    assert_eq!(ended.state, State::Cancelled);
    assert!(ended.steps_done < STEPS, "{ended:?}");

    let pane = inspector.end("cancelled");
    // The browser has made a call since. No step was done meanwhile.
    assert_eq!(only_call(&asker).await, ended);
    let message = match pane["cancels"].as_u64() {
        Some(1) => "`notifications/cancelled`",
        Some(0) => "nothing",
        _ => panic!("{pane}"),
    };
    let entry = match (pane["pending"].as_u64(), pane["failed"].as_u64()) {
        (Some(1), Some(0)) => "PENDING",
        (Some(0), Some(1)) => "ERROR",
        _ => panic!("{pane}"),
    };
    let (cause, reason) = (json!(ended.cause), ended.reason.as_deref().unwrap_or("none"));
    let cause = cause.as_str().unwrap_or("none");
    page_shows(&format!("| `{era}` | {protocol} | {message} | {entry} | `{cause}` | {reason} |"));
}

fn page_shows(words: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/inspector.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains(words), "docs/src/inspector.md should contain:\n{words}");
}

/// The Inspector, and a browser that uses it.
struct Inspector {
    browser: Process,
    _program: Process,
    home: TempDir,
}

impl Inspector {
    /// Connects it to the server and starts a call.
    fn at_work(server: &Process, era: &str) -> Self {
        let modules = PathBuf::from(std::env::var_os("MCP_INSPECTOR").expect("MCP_INSPECTOR"));
        let modules = modules.join("node_modules");
        let package = modules.join("@modelcontextprotocol/inspector/package.json");
        let package: Value = serde_json::from_slice(&std::fs::read(package).unwrap()).unwrap();
        let version = package["version"].as_str().unwrap();
        page_shows(&format!("npx @modelcontextprotocol/inspector@{version} --web"));

        let home = tempfile::tempdir().unwrap();
        let port = Port::keep().unwrap();
        let mut program = Command::new(modules.join(".bin/node"));
        program.arg(modules.join(".bin/mcp-inspector")).args(["--web", "--transport", "http"]);
        program.args(["--server-url", &server.url, "--protocol-era", era]);
        program
            .env("CLIENT_PORT", port.address().port().to_string())
            .env("MCP_AUTO_OPEN_ENABLED", "false");
        program.env("MCP_SANDBOX_PORT", "0").env("MCP_APP_ORIGIN_PORT", "0");
        program.env("HOME", home.path()).env("MCP_INSPECTOR_SECRET_STORE", "memory");
        let program = Process::start(program);
        let url = program.line_with("MCP_INSPECTOR_API_TOKEN=");

        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut node = Command::new("node");
        node.arg(folder.join("tests/inspector/inspector.mjs")).arg(url.trim());
        node.arg(home.path().join(PICTURE));
        let browser = Process::start(node);
        browser.line_with("at work");
        Self { browser, _program: program, home }
    }

    /// Presses "Cancel". The Inspector says that the call is cancelled.
    fn cancel(&mut self) {
        self.browser.say("");
        assert_eq!(self.browser.line(), "cancelled");
    }

    /// Reads in the Inspector that the call is in this state. Returns how often its Protocol pane
    /// shows a cancel, a call that waits, and one that failed.
    fn end(mut self, state: &str) -> Value {
        self.browser.say(state);
        let pane = serde_json::from_str(&self.browser.line()).unwrap();
        self.browser.say("");
        assert!(self.browser.ends_within(DEADLINE).success());
        pane
    }
}

async fn only_call(asker: &RawClient) -> CallRecord {
    let [call] = asker.calls().await.try_into().expect("one call");
    call
}

async fn until(asker: &RawClient, is_so: impl Fn(&CallRecord) -> bool) -> CallRecord {
    in_time("a change of the call", async {
        loop {
            let call = only_call(asker).await;
            if is_so(&call) {
                return call;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

//! The MCP Inspector in a browser, used as docs/src/inspector.md says: `tests/inspector`.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use course::lesson::Protocol;
use serde_json::{Value, json};
use shared::calls::{CallRecord, State};
use tempfile::TempDir;
use testing::process::{DEADLINE, Process};
use testing::raw::{RawClient, in_time};

const PROGRAM: &str = env!("CARGO_BIN_EXE_on-the-wire");
/// How many steps `inspector.mjs` asks for: it cancels long before the last.
const STEPS: u32 = 600;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node, MCP_INSPECTOR, PLAYWRIGHT and CHROMIUM, see .ci/run"]
async fn cancel_stops_the_tool_in_the_legacy_era() {
    let (call, pane) = cancelled_in("legacy", 21_000).await;
    assert_eq!(call.reason.as_deref(), Some("Tool call cancelled by user"));
    assert_eq!(json!(call.cause), "notification");
    assert_eq!(pane, json!({ "cancels": 1, "pending": 0, "failed": 1 }));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node, MCP_INSPECTOR, PLAYWRIGHT and CHROMIUM, see .ci/run"]
async fn cancel_stops_the_tool_in_the_modern_era() {
    let (call, pane) = cancelled_in("modern", 26_000).await;
    assert_eq!(call.reason, None);
    assert_eq!(json!(call.cause), "disconnect");
    assert_eq!(pane, json!({ "cancels": 0, "pending": 1, "failed": 0 }));
}

/// Cancels a call in the Inspector. Returns how the server says that it ended, and how often the
/// Inspector's Protocol pane shows a cancel, a call that waits and one that failed.
///
/// It leaves `target/inspector-ERA.png`, a picture that docs/src/inspector.md shows.
async fn cancelled_in(era: &str, ports: u16) -> (CallRecord, Value) {
    let server = Process::http(PROGRAM, "1s");
    let asker = RawClient::open(&server.url, Protocol::V2025).await;
    let home = tempfile::tempdir().unwrap();
    let inspector = inspector(&server.url, era, ports, &home);
    let url = inspector.line_with("MCP_INSPECTOR_API_TOKEN=");

    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/inspector/inspector.mjs");
    let target = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target"));
    let mut node = Command::new("node");
    node.arg(folder).arg(url.trim()).arg(target.join(format!("inspector-{era}.png")));
    let mut browser = Process::start(node);

    browser.line_with("at work");
    let running = only_call(&asker).await;
    assert_eq!((running.state, running.steps_total), (State::Running, STEPS));
    assert!(running.steps_done >= 2, "{running:?}");
    browser.say("");
    assert_eq!(browser.line(), "cancelled");
    let ended = in_time("the end of the call", async {
        loop {
            let call = only_call(&asker).await;
            if call.state != State::Running {
                return call;
            }
        }
    });
    let ended = ended.await;
    assert_eq!(ended.state, State::Cancelled);
    assert!(ended.steps_done < STEPS, "{ended:?}");
    browser.say("");
    let pane = serde_json::from_str(&browser.line()).unwrap();
    // The browser has made a call since. No step was done meanwhile.
    assert_eq!(only_call(&asker).await, ended);
    browser.say("");
    assert!(browser.ends_within(DEADLINE).success());
    (ended, pane)
}

/// The Inspector with its page, on a port from this one on. It takes no port of the system's choice.
fn inspector(server: &str, era: &str, ports: u16, home: &TempDir) -> Process {
    let modules = PathBuf::from(std::env::var_os("MCP_INSPECTOR").expect("MCP_INSPECTOR"));
    let bin = modules.join("node_modules/.bin");
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = (ports..ports + 1000).find(free).expect("a free port");
    let mut program = Command::new(bin.join("node"));
    program.arg(bin.join("mcp-inspector")).args(["--web", "--transport", "http"]);
    program.args(["--server-url", server, "--protocol-era", era]);
    program.env("CLIENT_PORT", port.to_string()).env("MCP_AUTO_OPEN_ENABLED", "false");
    program.env("MCP_SANDBOX_PORT", "0").env("MCP_APP_ORIGIN_PORT", "0");
    program.env("HOME", home.path()).env("MCP_INSPECTOR_SECRET_STORE", "memory");
    Process::start(program)
}

async fn only_call(asker: &RawClient) -> CallRecord {
    let [call] = asker.calls().await.try_into().expect("one call");
    call
}

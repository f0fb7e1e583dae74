//! The bridges that people use, from npm and from the Python Package Index: does the cancel get through?
//!
//! docs/src/bridges.md has the table. Each test makes the rows of one project anew and compares
//! them with the page. The server is this lesson's own, and it says itself what it does: it
//! writes each step and each end to a file.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use course::lesson::Protocol;
use course::port::Port;
use serde_json::{Value, json};
use tempfile::TempDir;
use testing::raw::{CANCELLED, RawClient, initialize, is_progress, notification, steps, tool_call};
use tokio::time::{Instant, sleep};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mcp-bridge");
const TICK: &str = "400ms";
const STEPS: u32 = 16;
/// The steps of the call whose host quits: more than are ever done.
const QUIT_STEPS: u32 = 1000;
/// Steps that are done after the bridge has gone: nothing of it is under way any more.
const AFTER: usize = 8;
const REASON: &str = "stop, says the host";
const LONG: Duration = Duration::from_secs(60);
/// How long a word to the caller may take once the call has ended at the server.
const LAST_WORD: Duration = Duration::from_secs(2);

#[test]
#[ignore = "needs bridges from npm: MCP_BRIDGES_NPM, see .ci/run"]
fn mcp_remote() {
    let remote = |url: &str| npm("mcp-remote", &[url, "--allow-http", "--transport", "http-only"]);
    rows_of("mcp-remote 0.15.1", &[&|| stdio_to_http("npm", remote)]);
}

#[test]
#[ignore = "needs bridges from npm: MCP_BRIDGES_NPM, see .ci/run"]
fn supergateway() {
    let to_http = |url: &str| npm("supergateway", &["--streamableHttp", url, "--logLevel", "none"]);
    let to_stdio = |mode: &'static [&'static str]| {
        move |server: &str, port: &str| {
            let transport = ["--outputTransport", "streamableHttp", "--port", port];
            npm("supergateway", &[&["--stdio", server][..], &transport, mode].concat())
        }
    };
    let rows: [Row; 3] = [
        &|| stdio_to_http("npm", to_http),
        &|| http_to_stdio("npm, `--stateful`", to_stdio(&["--stateful"])),
        &|| http_to_stdio("npm", to_stdio(&[])),
    ];
    rows_of("supergateway 4.0.0", &rows);
}

#[test]
#[ignore = "needs bridges from npm: MCP_BRIDGES_NPM, see .ci/run"]
fn mcp_proxy_of_npm() {
    let proxy = |mode: &'static [&'static str]| {
        move |server: &str, port: &str| {
            let http = ["--host", "127.0.0.1", "--port", port, "--server", "stream"];
            npm("mcp-proxy", &[&http[..], mode, &["--", "sh", "-c", server]].concat())
        }
    };
    let rows: [Row; 2] = [&|| http_to_stdio("npm", proxy(&[])), &|| {
        http_to_stdio("npm, `--stateless`", proxy(&["--stateless"]))
    }];
    rows_of("mcp-proxy 6.7.19", &rows);
}

#[test]
#[ignore = "needs mcp-proxy from PyPI: MCP_PROXY_PYTHON, see .ci/run"]
fn mcp_proxy_of_pypi() {
    let program = || Command::new(installed("MCP_PROXY_PYTHON").join("mcp-proxy"));
    let to_http = |url: &str| {
        let mut proxy = program();
        proxy.args(["--transport", "streamablehttp", url]);
        proxy
    };
    let to_stdio = |mode: &'static [&'static str]| {
        move |server: &str, port: &str| {
            let mut proxy = program();
            proxy.args(["--port", port]).args(mode).args(["--", "sh", "-c", server]);
            proxy
        }
    };
    let rows: [Row; 3] =
        [&|| stdio_to_http("PyPI", to_http), &|| http_to_stdio("PyPI", to_stdio(&[])), &|| {
            http_to_stdio("PyPI, `--stateless`", to_stdio(&["--stateless"]))
        }];
    rows_of("mcp-proxy 0.13.0", &rows);
}

#[test]
#[ignore = "needs FastMCP from PyPI: FASTMCP_PYTHON, see .ci/run"]
fn fastmcp() {
    let to_http = |url: &str| {
        let mut fastmcp = Command::new(installed("FASTMCP_PYTHON").join("fastmcp"));
        fastmcp.args(["run", url, "--no-banner"]);
        fastmcp
    };
    let to_stdio = |server: &str, port: &str| {
        let servers =
            json!({ "mcpServers": { "it": { "command": "sh", "args": ["-c", server] } } });
        let script = format!(
            "import json, sys\n\
             from fastmcp.server import create_proxy\n\
             proxy = create_proxy(json.loads(sys.argv[1]))\n\
             proxy.run(transport='http', host='127.0.0.1', port={port}, show_banner=False)"
        );
        let mut python = Command::new(installed("FASTMCP_PYTHON").join("python"));
        python.args(["-c", &script, &servers.to_string()]);
        python
    };
    // Rarely its cancel loses a race: the page says against what. The table shows what it does
    // else, so it may try three times.
    let run_url = || {
        let mut row = String::new();
        for _ in 0..3 {
            row = stdio_to_http("PyPI, `fastmcp run URL`", to_http);
            if row.contains("becomes") && row.ends_with("stops") {
                break;
            }
        }
        row
    };
    let rows: [Row; 2] = [&run_url, &|| http_to_stdio("PyPI, `create_proxy`", to_stdio)];
    rows_of("FastMCP 4.1.1", &rows);
}

#[test]
fn ours() {
    let ours = |options: &'static [&'static str]| {
        move |url: &str| {
            let mut bridge = Command::new(PROGRAM);
            bridge.args(options).arg(url);
            bridge
        }
    };
    let to_stdio = |server: &str, port: &str| {
        let mut bridge = Command::new(PROGRAM);
        bridge.args(["--protocol", "2025-11-25", "--addr", &format!("127.0.0.1:{port}")]);
        bridge.args(["--", "sh", "-c", server]);
        bridge
    };
    let rows: [Row; 3] = [
        &|| stdio_to_http("ours", ours(&["--protocol", "2025-11-25"])),
        &|| stdio_to_http("ours, `--relay`", ours(&["--relay"])),
        &|| http_to_stdio("ours", to_stdio),
    ];
    rows_of("mcp-bridge", &rows);
}

fn npm(name: &str, arguments: &[&str]) -> Command {
    let mut program = Command::new(installed("MCP_BRIDGES_NPM").join(name));
    program.args(arguments);
    program
}

fn installed(variable: &str) -> PathBuf {
    PathBuf::from(std::env::var(variable).unwrap_or_else(|_| panic!("{variable}: see .ci/run")))
}

/// Makes a row. Several are made at once, as most of the time they wait.
type Row<'a> = &'a (dyn Fn() -> String + Sync);

/// Compares a project's rows with the page.
fn rows_of(bridge: &str, rows: &[Row]) {
    let rows: Vec<_> = std::thread::scope(|scope| {
        let made: Vec<_> = rows.iter().map(|row| scope.spawn(row)).collect();
        made.into_iter().map(|row| row.join().unwrap()).collect()
    });
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/bridges.md");
    let page = std::fs::read_to_string(page).unwrap();
    let start = format!("| {bridge} |");
    let shown: Vec<_> = page.lines().filter(|line| line.starts_with(&start)).collect();
    let seen: Vec<_> = rows.iter().map(|row| format!("{start} {row} |")).collect();
    assert_eq!(shown, seen, "docs/src/bridges.md should have:\n{}", seen.join("\n"));
}

/// What came back to the host.
type Heard = Arc<Mutex<Vec<Value>>>;

fn answer_to(heard: &Heard, id: u32) -> Option<Value> {
    let heard = heard.lock().unwrap();
    heard.iter().find(|it| it["id"] == id && it.get("method").is_none()).cloned()
}

/// What the server says of its calls, in the order of their starts.
struct Log(TempDir);

impl Log {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("log")
    }

    /// Where the server listens, which is its first line.
    fn url(&self) -> String {
        let deadline = Instant::now() + LONG;
        loop {
            let text = std::fs::read_to_string(self.path()).unwrap_or_default();
            if let Some((first, _)) = text.split_once('\n') {
                return first.rsplit(' ').next().unwrap_or_default().to_owned();
            }
            assert!(Instant::now() < deadline, "the server does not start. {}", self.scene());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The lines about the work, without those about questions.
    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path()).unwrap_or_default();
        text.lines().filter(|line| line.contains("call ")).map(str::to_owned).collect()
    }

    /// Waits until that many lines have this in them, and returns the last of them.
    async fn line_with(&self, word: &str, times: usize) -> String {
        let deadline = Instant::now() + LONG;
        loop {
            let mut found: Vec<_> = self.lines();
            found.retain(|line| line.contains(word));
            if found.len() >= times {
                return found.swap_remove(times - 1);
            }
            assert!(Instant::now() < deadline, "{word} does not come. {}", self.scene());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Takes what the bridge prints for people.
    fn of_bridge(&self) -> File {
        File::options().create(true).append(true).open(self.0.path().join("bridge")).unwrap()
    }

    /// What both have said, for a test that fails.
    fn scene(&self) -> String {
        let [server, bridge] = ["log", "bridge"]
            .map(|name| std::fs::read_to_string(self.0.path().join(name)).unwrap_or_default());
        format!("The server:\n{server}\nThe bridge:\n{bridge}")
    }

    fn ends(&self) -> usize {
        self.lines().iter().filter(|line| is_end(line)).count()
    }
}

fn is_end(line: &str) -> bool {
    line.contains("finished,") || line.contains("cancelled after")
}

/// The cells of a row but the last: what the host heard, and what the server did.
async fn cells(log: &Log, heard: &Heard, id: u32) -> String {
    // The answer may come before the end, at the end, or never.
    let mut while_it_ran = false;
    let mut ended = None;
    let told = loop {
        let told = answer_to(heard, id);
        if ended.is_none() && log.ends() > 0 {
            ended = Some(Instant::now());
        }
        if told.is_some() && ended.is_none() {
            while_it_ran = true;
        }
        if ended.is_some_and(|at| told.is_some() || at.elapsed() > LAST_WORD) {
            break told;
        }
        sleep(Duration::from_millis(20)).await;
    };
    // "cancelled after N of 16 steps" is the end of the work; "N of 16" alone is a step.
    let end = log.lines().into_iter().find(|line| is_end(line)).unwrap_or_default();
    let stopped = end.contains("cancelled after");
    let progress = heard.lock().unwrap().iter().filter(|it| is_progress(it)).count();
    let told = match told {
        None => "nothing".to_owned(),
        Some(answer) if answer["error"].is_object() => {
            let error = &answer["error"];
            let words = error["message"].as_str().unwrap_or_default();
            let error = format!("error {}: {words}", error["code"]);
            if while_it_ran && !stopped { format!("**{error}, while it runs**") } else { error }
        }
        Some(_) => "the result".to_owned(),
    };
    let reason = match end.split_once("reason: ") {
        Some((_, reason)) if reason.trim() == REASON => "kept".to_owned(),
        Some((_, other)) => format!("becomes {:?}", other.trim()),
        None if stopped => "lost".to_owned(),
        None => "-".to_owned(),
    };
    let yes = |yes| if yes { "yes" } else { "**no**" };
    format!("{} | {} | {told} | {reason}", yes(progress > 0), yes(stopped))
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

/// A process that is ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.0.try_wait() {
            return;
        }
        // Not -9: what the bridge has started should end too.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        for _ in 0..100 {
            if let Ok(Some(_)) = self.0.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A host that writes to the bridge's standard input.
fn stdio_to_http(by: &str, bridge: impl Fn(&str) -> Command) -> String {
    let log = Log::new();
    let serve =
        format!("exec {PROGRAM} serve --addr 127.0.0.1:0 --tick {TICK} > {}", log.path().display());
    let _server = Running(Command::new("sh").args(["-c", &serve]).spawn().unwrap());
    let mut bridge = bridge(&log.url());
    let bridge = bridge.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log.of_bridge());
    let mut bridge = Running(bridge.spawn().unwrap());
    let output = BufReader::new(bridge.0.stdout.take().unwrap());
    let mut input = bridge.0.stdin.take().unwrap();
    let heard = Heard::default();
    let sink = Arc::clone(&heard);
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            sink.lock().unwrap().extend(serde_json::from_str::<Value>(&line).ok());
        }
    });
    let say = |input: &mut ChildStdin, message: Value| writeln!(input, "{message}").unwrap();
    run(async {
        say(&mut input, initialize());
        let deadline = Instant::now() + LONG;
        while heard.lock().unwrap().iter().all(|it| it["id"] != "initialize") {
            assert!(Instant::now() < deadline, "{by}: no answer to initialize. {}", log.scene());
            sleep(Duration::from_millis(20)).await;
        }
        say(&mut input, notification("notifications/initialized", &json!({})));
        let work = |id: u32, count: u32| {
            tool_call(Protocol::V2025, &json!(id), "process_large_file", &steps(count))
        };
        say(&mut input, work(11, STEPS));
        log.line_with("step 3 of", 1).await;
        let cancel = json!({ "requestId": 11, "reason": REASON });
        say(&mut input, notification(CANCELLED, &cancel));
        let cells = cells(&log, &heard, 11).await;
        // And then the host quits.
        say(&mut input, work(12, QUIT_STEPS));
        log.line_with("step 3 of", 2).await;
        drop(input);
        let deadline = Instant::now() + LONG;
        let mut gone = None;
        let quit = loop {
            let lines = log.lines();
            let ends: Vec<_> = lines.iter().filter(|line| is_end(line)).collect();
            if let [_, end] = ends[..] {
                break if end.contains("cancelled after") { "stops" } else { "runs on" };
            }
            if gone.is_none() && bridge.0.try_wait().unwrap().is_some() {
                gone = Some(lines.len());
            }
            if gone.is_some_and(|then| lines.len() > then + AFTER) {
                break "runs on";
            }
            assert!(Instant::now() < deadline, "{by}: the bridge stays. {}", log.scene());
            sleep(Duration::from_millis(20)).await;
        };
        format!("{by} | stdio to HTTP | {cells} | {quit}")
    })
}

/// A host that speaks HTTP with the bridge.
fn http_to_stdio(by: &str, bridge: impl Fn(&str, &str) -> Command) -> String {
    let log = Log::new();
    let server = format!(
        "exec {PROGRAM} serve --transport stdio --tick {TICK} -v 2>> {}",
        log.path().display()
    );
    let port = Port::keep().unwrap();
    let free = port.address();
    // Bridges split a command line in their own ways, so the command is one word.
    // Another process writes the script: one that a row beside this one starts meanwhile would
    // inherit the file, open for writing, and what is open for writing cannot be started.
    let [text, script] = ["text", "server"].map(|name| log.0.path().join(name));
    std::fs::write(&text, format!("#!/bin/sh\n{server}\n")).unwrap();
    let install = Command::new("install").args(["-m", "755"]).args([&text, &script]).status();
    assert!(install.unwrap().success());
    let mut bridge = bridge(script.to_str().unwrap(), &free.port().to_string());
    let bridge = bridge.stdin(Stdio::null()).stdout(log.of_bridge()).stderr(log.of_bridge());
    let _bridge = Running(bridge.spawn().unwrap());
    let heard = Heard::default();
    let cells = run(async {
        let deadline = Instant::now() + LONG;
        while std::net::TcpStream::connect(free).is_err() {
            assert!(Instant::now() < deadline, "{by}: nobody listens. {}", log.scene());
            sleep(Duration::from_millis(50)).await;
        }
        let url = format!("http://{free}/mcp");
        let host = Arc::new(RawClient::open(&url, Protocol::V2025).await);
        let (caller, sink) = (Arc::clone(&host), Arc::clone(&heard));
        let call = tokio::spawn(async move {
            let mut events = caller.work(11, STEPS).await;
            while let Some(message) = events.next().await {
                sink.lock().unwrap().push(message);
            }
        });
        log.line_with("step 3 of", 1).await;
        let cancel = json!({ "requestId": 11, "reason": REASON });
        let _ = host.post(&notification(CANCELLED, &cancel)).await;
        let cells = cells(&log, &heard, 11).await;
        call.abort();
        cells
    });
    format!("{by} | HTTP to stdio | {cells} | -")
}

/// The page names the versions that are installed.
#[test]
fn the_page_names_what_is_installed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(folder.join(path)).unwrap();
    let page = read("../../docs/src/bridges.md");
    let pins: Value = serde_json::from_str(&read("tests/bridges/package.json")).unwrap();
    let npm = pins["dependencies"].as_object().unwrap().iter();
    let mut pinned: Vec<_> =
        npm.map(|(name, version)| format!("| {name} {} |", version.as_str().unwrap())).collect();
    for (file, name) in [("mcp-proxy", "mcp-proxy"), ("fastmcp", "FastMCP")] {
        let requirements = read(&format!("tests/bridges/requirements-{file}.txt"));
        let start = format!("{file}==");
        let version = requirements.lines().find_map(|line| line.strip_prefix(&start)).unwrap();
        pinned.push(format!("| {name} {version} |"));
    }
    pinned.push("| mcp-bridge |".to_owned());
    for row in page
        .lines()
        .filter(|line| line.contains(" | stdio to HTTP |") || line.contains(" | HTTP to stdio |"))
    {
        assert!(pinned.iter().any(|pin| row.starts_with(pin)), "{row} is not among {pinned:?}");
    }
    assert!(pinned.iter().all(|pin| page.contains(pin)), "{pinned:?}");
}

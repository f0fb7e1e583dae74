//! What the tests share: the program, a practice server, a report.
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;
use tokio::net::TcpListener;

pub const BINARY: &str = env!("CARGO_BIN_EXE_mcp-cancel-check");

/// The checker, to be given its arguments.
pub fn check() -> Command {
    Command::new(BINARY)
}

/// A server that prints its URL in its first line, and is killed in the end.
#[derive(Debug)]
pub struct Practice {
    child: Child,
    pub url: String,
}

impl Practice {
    pub fn http(flags: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command.args(["practice", "--http", "127.0.0.1:0"]).args(flags);
        Self::at_a_url(command)
    }

    pub fn at_a_url(command: Command) -> Self {
        let (server, lines) = Self::with_output(command);
        // A server that may not print may not serve.
        std::thread::spawn(move || lines.for_each(drop));
        server
    }

    /// The server, and the lines that it prints after its URL.
    pub fn with_output(mut command: Command) -> (Self, impl Iterator<Item = String> + Send) {
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        // A log that nobody needs, unless the server does not start.
        let log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let log = std::thread::spawn(|| log.collect::<Vec<_>>());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let url = lines.find_map(|line| {
            line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
        });
        let why = || panic!("the server prints no URL, but: {:?}", log.join());
        (Self { url: url.unwrap_or_else(why), child }, lines)
    }
}

impl Drop for Practice {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves HTTP until the tests end: to each message the function says what is answered.
pub fn answering(answer: fn(&HeaderMap, &Value) -> Response) -> String {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(format!("http://{}/mcp", listener.local_addr().unwrap())).unwrap();
            let app = Router::new().fallback(async move |headers: HeaderMap, body: Bytes| {
                answer(&headers, &serde_json::from_slice(&body).unwrap_or_default())
            });
            axum::serve(listener, app).await.unwrap();
        });
    });
    told.recv().unwrap()
}

/// What a checker with `--json` has printed.
#[derive(Debug)]
pub struct Report {
    pub code: Option<i32>,
    pub json: Value,
}

impl Report {
    pub fn of(checker: &mut Command) -> Self {
        let output = checker.stdin(Stdio::null()).output().unwrap();
        let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            let said = String::from_utf8_lossy(&output.stderr);
            panic!("{checker:?}: no report ({error}), but {said}")
        });
        Self { code: output.status.code(), json }
    }

    pub fn findings(&self) -> impl Iterator<Item = &Value> {
        self.json["findings"].as_array().unwrap().iter()
    }

    /// What the server is accused of, and what could not be judged because the check did not come
    /// to its end.
    pub fn accusations(&self) -> impl Iterator<Item = &Value> {
        self.findings().filter(|finding| {
            let seen = finding["seen"].as_str().unwrap();
            let cut =
                seen.starts_with("the time was up") || seen.starts_with("the check broke off");
            cut || finding["verdict"] == "fail" || finding["verdict"] == "warn"
        })
    }

    /// The finding on this behaviour, in the first lane that has one.
    pub fn finding(&self, number: u32) -> &Value {
        let found = self.findings().find(|finding| finding["number"] == number);
        found.unwrap_or_else(|| panic!("nothing on {number} in {}", self.json))
    }

    pub fn verdict(&self, number: u32) -> &str {
        self.finding(number)["verdict"].as_str().unwrap()
    }
}

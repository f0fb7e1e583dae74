//! newman, Postman's own runner, plays the collection against a server and reports. It comes
//! from npm: `.ci/run` installs it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

pub const COLLECTION: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../postman/mcp-cancellation.postman_collection.json");
/// How long a run of newman may take.
const RUN: Duration = Duration::from_secs(120);

pub fn name(request: &Value) -> &str {
    request["name"].as_str().unwrap()
}

/// A run of newman, ended when dropped.
pub struct Newman {
    child: Child,
    report: PathBuf,
}

impl Newman {
    /// Plays these requests or folders of the collection, or all if none is named.
    pub fn play(url: &str, parts: &[&str]) -> Self {
        Self::play_in("", url, parts)
    }

    /// The same in a session that another run has opened.
    pub fn play_in(session: &str, url: &str, parts: &[&str]) -> Self {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let (test, run) = (std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
        let report = format!("newman-{test}-{run}.json");
        let report = std::env::temp_dir().join(report);
        let newman = std::env::var("NEWMAN").expect("NEWMAN must name newman, see .ci/run");
        let mut command = Command::new(newman);
        command.args(["run", COLLECTION, "--env-var"]).arg(format!("baseUrl={url}"));
        if !session.is_empty() {
            command.arg("--env-var").arg(format!("sessionId={session}"));
        }
        command.args(parts.iter().flat_map(|part| ["--folder", part]));
        command.args(["--reporters", "json", "--reporter-json-export"]).arg(&report);
        Self { child: command.stdout(Stdio::null()).spawn().unwrap(), report }
    }

    /// Waits for the end of the run.
    pub fn report(mut self) -> Report {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < RUN, "newman did not end within {RUN:?}");
            std::thread::sleep(Duration::from_millis(20));
        };
        let report = std::fs::read(&self.report).expect("newman crashed: it left no report");
        let report: Value = serde_json::from_slice(&report).unwrap();
        let report = Report(report["run"].clone());
        assert_eq!(status.success(), report.failed().is_empty(), "newman: {status}");
        report
    }
}

impl Drop for Newman {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.report);
    }
}

/// What newman reports of a run.
pub struct Report(Value);

impl Report {
    /// The assertions that failed. Nothing else may have gone wrong, no script and no request.
    pub fn failed(&self) -> Vec<&str> {
        let failures = self.0["failures"].as_array().unwrap().iter();
        failures
            .map(|failure| {
                let error = &failure["error"];
                assert_eq!(error["name"], "AssertionError", "{failure:#}");
                error["test"].as_str().unwrap()
            })
            .collect()
    }

    /// What was asserted, each with its request.
    pub fn asserted(&self) -> Vec<(&str, &str)> {
        let sent = self.0["executions"].as_array().unwrap().iter();
        let all = sent.flat_map(|sent| {
            let assertions = sent["assertions"].as_array().into_iter().flatten();
            assertions.map(|one| (name(&sent["item"]), one["assertion"].as_str().unwrap()))
        });
        all.collect()
    }

    /// The run passed, and this was among what it asserted.
    pub fn asserts_that(&self, assertion: &str) {
        assert_eq!(self.failed(), [""; 0]);
        let asserted = self.asserted();
        assert!(asserted.iter().any(|(_, one)| *one == assertion), "{asserted:?}");
    }

    /// The session that the first request opened.
    pub fn session(&self) -> &str {
        let headers = self.0["executions"][0]["response"]["header"].as_array().unwrap();
        let session = headers.iter().find(|header| header["key"] == "mcp-session-id").unwrap();
        session["value"].as_str().unwrap()
    }
}

//! The two programs that a reader pastes into a crate of their own: each against the other, and
//! each against the lesson.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testing::process::Process;

/// What to say to the client for each revision.
const REVISIONS: [(&[&str], &str); 2] = [(&[], "2025-11-25"), (&["--2026-07-28"], "2026-07-28")];
const LESSON: &str = env!("CARGO_BIN_EXE_basic-cancel");

/// The folder of this lesson.
fn lesson() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A built example. `cargo test` builds them, unless it is told to run one test file only.
fn built(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let example = tests.parent().unwrap().with_file_name("examples").join(name);
    assert!(example.exists(), "first run: cargo build -p basic-cancel --examples");
    example
}

fn http_server() -> Process {
    let mut program = Command::new(built("server"));
    program.arg("127.0.0.1:0");
    Process::at_a_url(program)
}

/// The example client cancels a call of this server, and the server says how far it came.
fn client_cancels(server: &[&str]) {
    for (flag, revision) in REVISIONS {
        let mut client = assert_cmd::Command::new(built("client"));
        let run = client.args(flag).args(server).timeout(Duration::from_secs(60)).assert();
        let run = run.success();
        let said = String::from_utf8_lossy(&run.get_output().stdout);
        let end = said.lines().last().unwrap();
        let steps = end.strip_prefix("server: \"cancelled\" after ");
        let steps = steps.and_then(|end| end.strip_suffix(" of 100 steps"));
        let steps: u32 = steps.and_then(|steps| steps.parse().ok()).expect(&said);
        assert!(steps < 100, "{said}");
        assert_eq!(said.lines().next(), Some(&*format!("connected, revision {revision}")));
    }
}

#[test]
fn the_client_cancels_a_call_of_the_server_over_http() {
    client_cancels(&[&http_server().url]);
}

#[test]
fn the_client_cancels_a_call_of_the_server_on_stdio() {
    client_cancels(&["--", built("server").to_str().unwrap(), "--stdio"]);
}

#[test]
fn the_client_cancels_a_call_of_the_lessons_server_over_http() {
    client_cancels(&[&Process::http(LESSON, "100ms").url]);
}

#[test]
fn the_client_cancels_a_call_of_the_lessons_server_on_stdio() {
    client_cancels(&["--", LESSON, "serve", "--transport", "stdio", "--tick", "100ms"]);
}

/// The small server keeps no reason. The specification allows that, so it is a remark.
#[test]
fn the_lessons_client_cancels_a_call_of_the_server() {
    let server = http_server();
    for (protocol, remark) in [("2025-11-25", true), ("2026-07-28", false)] {
        let mut client = assert_cmd::Command::new(LESSON);
        client.args(["client", "--url", &server.url, "--protocol", protocol]);
        let run = client.timeout(Duration::from_secs(60)).assert().success();
        let said = String::from_utf8_lossy(&run.get_output().stdout).into_owned();
        assert!(said.contains("server: cancelled after "), "{said}");
        assert_eq!(said.contains("(remark: it was lost"), remark, "{said}");
    }
}

#[test]
fn without_a_server_to_go_to_they_say_what_to_say() {
    for (name, word) in [("server", "say where to serve"), ("client", "name a server")] {
        let run = assert_cmd::Command::new(built(name)).assert().failure();
        let said = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
        assert!(said.contains(word), "{said}");
    }
}

/// The lines of the `toml` block at the top of a program.
fn manifest(program: &str) -> String {
    let lines = program.lines().skip_while(|line| *line != "//! ```toml").skip(1);
    let lines = lines.take_while(|line| *line != "//! ```");
    let lines: Vec<_> = lines.map(|line| line.trim_start_matches("//!").trim_start()).collect();
    assert!(lines.contains(&"[dependencies]"), "no dependencies at the top of the program");
    lines.join("\n")
}

#[test]
#[ignore = "compiles rmcp twice more, and needs the registry"]
fn each_compiles_in_a_crate_of_its_own_with_the_lines_it_carries() {
    let scratch = tempfile::tempdir().unwrap();
    for name in ["server", "client"] {
        let program = fs::read_to_string(lesson().join(format!("examples/{name}.rs"))).unwrap();
        let package = scratch.path().join(name);
        fs::create_dir_all(package.join("src")).unwrap();
        let head = format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n\n");
        fs::write(package.join("Cargo.toml"), head + &manifest(&program)).unwrap();
        fs::write(package.join("src/main.rs"), program).unwrap();
        // The versions that the workspace has, so that nothing new has to be fetched.
        fs::copy(lesson().join("../../Cargo.lock"), package.join("Cargo.lock")).unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["check", "--quiet"]).current_dir(&package).env("RUSTFLAGS", "-D warnings");
        let status = cargo.env("CARGO_TARGET_DIR", scratch.path().join("target")).status();
        assert!(status.unwrap().success(), "{name}.rs does not compile in a crate of its own");
    }
}

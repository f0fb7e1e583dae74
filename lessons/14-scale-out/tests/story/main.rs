//! The lesson's program, with an engine and proxies, and without.

mod store;

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command as Std;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use course::lesson::Protocol;
use predicates::str::contains;
use testing::process::{DEADLINE, Process};
use testing::raw::{RawClient, in_time};

const PROGRAM: &str = env!("CARGO_BIN_EXE_scale-out");

fn play(arguments: &str, missing: &[&str]) -> Assert {
    let mut program = Command::new(PROGRAM);
    program.args(arguments.split_whitespace()).timeout(Duration::from_secs(400));
    for name in missing {
        program.env(name, "1");
    }
    program.assert()
}

/// On a machine that has nothing installed.
fn bare(arguments: &str) -> Assert {
    play(arguments, &["SCALE_OUT_NO_ENGINE", "SCALE_OUT_NO_PROXIES"])
}

#[test]
fn without_an_engine_it_says_what_it_skips() {
    let played = bare("").success();
    played
        .stdout(contains("every other claim held\n"))
        .stdout(contains("200 of 200 cancels through a round robin"))
        .stdout(contains("not looked at: the owner of a task dies (`apt-get install redis-server`"))
        .stdout(contains(
            "not looked at: affinity with haproxy-stick.cfg (`apt-get install haproxy`",
        ));
}

/// What needs neither engine nor proxies. Here a replica lives in the lesson's own process.
#[test]
fn each_claim_has_replicas_that_break_it() {
    let broken = [
        ("lost --wrong deaf-to-delete", "20 of 20 calls were stopped: nothing is lost here"),
        ("bus --wrong no-store", "a session was opened and is not known: 404"),
        ("bus --wrong no-bus", "a cancel was answered 202, and its call ran to its end"),
        ("bus --wrong doorbell-only", "a cancel that overtook its call was forgotten"),
        ("bus --wrong ids-as-strings", "stopped the call"),
        ("bus --wrong any-session", "the call with the same id in another session"),
        ("bus --wrong deaf-to-delete", "deleted on another replica, and its call ran on"),
        ("stream --wrong swallow", "closed streams did not stop the work"),
        ("tasks --wrong local-tasks", "a replica does not know a task of another"),
    ];
    std::thread::scope(|scope| {
        for (arguments, sentence) in broken {
            scope.spawn(move || bare(arguments).code(1).stderr(contains(sentence)));
        }
    });
}

#[test]
fn a_missed_bell_is_no_flaw() {
    bare("bus --wrong no-bells").success().stdout(contains("this flaw is not noticed here"));
}

#[test]
fn a_replica_does_not_outlive_its_owner() {
    let mut serve = Std::new(PROGRAM);
    serve.args(["serve", "--addr", "127.0.0.1:0", "--until-eof"]);
    let mut replica = Process::at_a_url(serve);
    replica.hang_up();
    assert!(replica.ends_within(Duration::from_secs(10)).success());
}

/// Like every lesson's server: SIGTERM ends it in order, and its numbers stand at `/metrics`.
#[tokio::test]
async fn a_replica_is_operated_like_every_server() {
    let mut serve = Std::new(PROGRAM);
    serve.args(["serve", "--addr", "127.0.0.1:0", "--tick-ms", "50"]);
    let mut replica = Process::at_a_url(serve);
    let wire = RawClient::open(&replica.url, Protocol::V2025).await;
    let mut call = wire.work(1, 3000).await;
    call.progress(1).await;
    let numbers = reqwest::get(replica.url.replace("/mcp", "/metrics")).await.unwrap();
    let numbers = numbers.text().await.unwrap();
    assert!(numbers.contains("\nmcp_calls_running 1\n"), "{numbers}");
    replica.signal("TERM");
    let answer = call.answer().await;
    assert_eq!(answer["error"]["message"], "the server is shutting down", "{answer}");
    assert!(replica.ends_within(DEADLINE).success());
}

/// A request of a session that nobody knows, whose body does not come: other sessions do not wait.
#[tokio::test]
async fn half_a_request_holds_up_no_session() {
    let mut serve = Std::new(PROGRAM);
    serve.args(["serve", "--addr", "127.0.0.1:0", "--tick-ms", "50"]);
    let replica = Process::at_a_url(serve);
    let address = replica.url.trim_start_matches("http://").trim_end_matches("/mcp");
    let mut half = TcpStream::connect(address).unwrap();
    let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: nobody\r\n\
                Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
                Content-Length: 100\r\n\r\n{";
    half.write_all(head.as_bytes()).unwrap();
    let served = async {
        let wire = RawClient::open(&replica.url, Protocol::V2025).await;
        wire.work(1, 1).await.answer().await
    };
    let answer = in_time("another session", served).await;
    assert!(answer.get("result").is_some(), "{answer}");
}

#[test]
fn a_url_that_is_none_is_named() {
    play("bus --redis nonsense", &[]).code(1).stderr(contains("nonsense is no URL of a Redis"));
    let nobody = "no Redis or Valkey answers at redis://127.0.0.1:1";
    play("bus --redis redis://127.0.0.1:1", &[]).code(1).stderr(contains(nobody));
}

#[test]
#[ignore = "needs redis-server, nginx and haproxy"]
fn every_claim_holds_with_an_engine_and_proxies() {
    play("", &[]).success().stdout(contains("every claim held\n"));
}

#[test]
#[ignore = "needs redis-server, nginx and haproxy"]
fn each_claim_about_the_engine_has_replicas_that_break_it() {
    for (arguments, sentence) in [
        ("sticky --wrong no-store", "sessions were lost"),
        ("bus --wrong no-bus", "a cancel was answered 202, and its call ran to its end"),
        ("bus --wrong doorbell-only", "a cancel that overtook its call was forgotten"),
        ("bus --wrong ids-as-strings", "stopped the call"),
        ("bus --wrong any-session", "the call with the same id in another session"),
        ("killed --wrong no-lease", "a task is still `working`, and nobody ends it"),
        ("killed --wrong undead", "owners that had lost their task worked on"),
        ("killed --wrong overwrites", "has overwritten the task's end"),
        ("killed --wrong hasty", "an owner was told to stop, and left tasks to their lease"),
        ("engine --wrong polite", "the engine is down, and a cancel was answered 202"),
        ("engine --wrong engine-first", "a call could not be cancelled where it ran"),
        ("engine --wrong engine-forgets", "the engine came back, and a task is"),
    ] {
        play(arguments, &[]).code(1).stderr(contains(sentence));
    }
}

#[test]
#[ignore = "needs redis-server"]
fn an_engine_that_runs_already_is_used_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("own.sock");
    let mut engine = Std::new("redis-server")
        .args(["--port", "0", "--save", "", "--unixsocket"])
        .arg(&socket)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !socket.exists() && started.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let url = format!("--redis unix://{}", socket.display());
    let played = play(&format!("tasks {url}"), &[]);
    let left = play(&format!("engine {url}"), &[]);
    let runs = engine.try_wait().unwrap().is_none();
    engine.kill().unwrap();
    engine.wait().unwrap();
    played.success().stdout(contains("every claim held\n"));
    left.success().stdout(contains("an engine that the lesson has not started is left alone"));
    assert!(runs, "the lesson has ended an engine that is not its own");
}

#[test]
#[ignore = "needs redis-server, nginx and haproxy"]
fn readme_shows_real_output() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    testing::readme::shows_real_output(page, "scale-out", PROGRAM, None);
}

/// What a chapter prints.
fn printed(chapter: &str) -> String {
    let played = play(chapter, &[]).success();
    String::from_utf8(played.get_output().stdout.clone()).unwrap()
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The table of docs/src/proxies.md, from what was observed just now.
#[test]
#[ignore = "needs redis-server, nginx and haproxy"]
fn the_table_of_proxies_is_what_they_do() {
    let printed = printed("stream");
    let rows = printed.lines().filter_map(|line| line.strip_prefix("🔀 ")).map(|line| {
        let (file, rest) = line.split_once(": ").unwrap();
        let (silent, reporting) = rest.split_once(" silent calls stop, ").unwrap();
        let reporting = reporting.strip_suffix(" that report progress").unwrap();
        let link = format!("[`{file}`](../../lessons/14-scale-out/proxies/{file})");
        format!("| {link} | {silent} | {reporting} |\n")
    });
    let table: String = rows.collect();
    assert!(page("proxies.md").contains(&table), "proxies.md should contain:\n{table}");
}

/// The table of docs/src/engine.md: the commands exactly, the bytes roughly.
#[test]
#[ignore = "needs redis-server"]
fn the_table_of_the_engine_is_what_it_does() {
    let (page, printed) = (page("engine.md"), printed("bus"));
    let lines: Vec<_> = printed.lines().filter(|line| line.ends_with(" bytes")).collect();
    assert_eq!(lines.len(), 4, "{printed}");
    for line in lines {
        let (what, rest) = line.trim().split_once(": ").unwrap();
        let (commands, bytes) = rest.split_once("; ").unwrap();
        let row = format!("| {what} | {commands} | ");
        let (_, shown) = page.split_once(&row).unwrap_or_else(|| panic!("engine.md lacks: {row}"));
        let number = |text: &str| text.split(' ').next().unwrap().parse::<f64>().unwrap();
        let ratio = number(bytes) / number(shown);
        assert!((0.7..1.4).contains(&ratio), "{what}: {bytes}, not {shown:.9}");
    }
}

//! Many calls at once: a shutdown under 100 of them, and a storm of 2,000 (see `testing::soak`).

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use course::lesson::Protocol;
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};
use shared::calls::State;
use testing::process::{DEADLINE, Process};
use testing::raw::{
    BOTH, RawClient, in_time, initialize, is_progress, notification, steps, tool_call, within,
};
use tokio::time::{Duration, Instant, sleep};

const SERVER: &str = env!("CARGO_BIN_EXE_operate");
/// So many calls run when the server is told to stop.
const CALLS: usize = 100;

fn assert_told(answer: &Value) {
    assert_eq!(answer["error"]["message"], "the server is shutting down", "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_100_calls_over_http_tells_all_callers() {
    for protocol in BOTH {
        let mut server = Process::http(SERVER, "50ms");
        let wire = RawClient::open(&server.url, protocol).await;
        let starting = stream::iter(0..CALLS).map(async |id| {
            let mut call = wire.work(id, 3000).await;
            call.progress(1).await;
            call
        });
        let calls: Vec<_> = starting.buffer_unordered(16).collect().await;
        server.signal("TERM");
        for call in calls {
            assert_told(&call.answer().await);
        }
        assert_eq!(server.ends_within(DEADLINE).code(), Some(0));
    }
}

#[test]
fn sigterm_under_100_calls_on_stdio_tells_all_callers() {
    for protocol in BOTH {
        let mut server = Process::stdio(SERVER, "50ms");
        if protocol == Protocol::V2025 {
            server.say(&initialize().to_string());
            server.say(&notification("notifications/initialized", &json!({})).to_string());
        }
        for id in 0..CALLS {
            let call = tool_call(protocol, &json!(id), "process_large_file", &steps(3000));
            server.say(&call.to_string());
        }
        let message = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        let mut working = BTreeSet::new();
        while working.len() < CALLS {
            let message = message(&server.line());
            if is_progress(&message) {
                working.insert(message["params"]["progressToken"].to_string());
            }
        }
        server.signal("TERM");
        let rest: Vec<_> = server.rest().iter().map(|line| message(line)).collect();
        let answers: Vec<_> = rest.iter().filter(|message| !is_progress(message)).collect();
        assert_eq!(answers.len(), CALLS);
        answers.into_iter().for_each(assert_told);
        assert_eq!(server.ends_within(DEADLINE).code(), Some(0));
    }
}

/// The page of numbers, by name and label.
async fn metrics(server: &Process) -> BTreeMap<String, f64> {
    let page = page(server).await;
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, number) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), number.parse().unwrap())
        })
        .collect()
}

async fn page(server: &Process) -> String {
    let url = server.url.replace("/mcp", "/metrics");
    reqwest::get(url).await.unwrap().error_for_status().unwrap().text().await.unwrap()
}

/// Calls that were cancelled, of all causes.
fn cancelled(numbers: &BTreeMap<String, f64>) -> f64 {
    let of_a_cause = numbers.range("mcp_calls_cancelled_total".to_owned()..);
    let of_a_cause = of_a_cause.take_while(|(name, _)| name.starts_with("mcp_calls_cancelled"));
    of_a_cause.map(|(_, count)| count).sum()
}

fn assert_adds_up(numbers: &BTreeMap<String, f64>) {
    let of = |name: &str| numbers[&format!("mcp_calls_{name}")];
    let sum = of("finished_total") + of("failed_total") + of("running") + cancelled(numbers);
    assert!((of("started_total") - sum).abs() < 0.5, "{numbers:?}");
}

/// How a call of the storm is to end.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Finishes,
    Fails,
    /// Its client cancels it, long before it is done.
    Cancelled,
    /// Its client cancels it when it may be done.
    Raced,
    /// The operator stops it: it is known by its number of steps.
    Stopped,
}

const FATES: [Fate; 5] = [Fate::Finishes, Fate::Fails, Fate::Cancelled, Fate::Raced, Fate::Stopped];
const STOPPED_STEPS: u32 = 2999;

/// What a client saw of its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Result,
    Failure,
    Cancel,
    HangUp,
    Race,
    Operator,
}

async fn call(wire: &RawClient, id: usize, fate: Fate) -> Seen {
    let of = match fate {
        Fate::Finishes => 1,
        Fate::Raced => 2,
        Fate::Stopped => STOPPED_STEPS,
        Fate::Fails | Fate::Cancelled => 3000,
    };
    let mut call = match fate {
        Fate::Fails => wire.call(id, "fail", &json!({})).await,
        _ => wire.work(id, of).await,
    };
    if matches!(fate, Fate::Cancelled | Fate::Raced) {
        call.progress(1 + usize::from(fate == Fate::Raced)).await;
        if wire.protocol == Protocol::V2026 {
            drop(call);
            return if fate == Fate::Raced { Seen::Race } else { Seen::HangUp };
        }
        wire.cancel(id).await;
    }
    let answer = call.answer().await;
    let seen = match (&answer["error"]["code"], &answer["error"]["message"]) {
        (code, _) if code == -32800 => Seen::Cancel,
        (_, message) if message == "stopped by the operator" => Seen::Operator,
        _ if answer["result"]["isError"] == true => Seen::Failure,
        _ if answer["result"].is_object() => Seen::Result,
        _ => panic!("{answer}"),
    };
    if fate == Fate::Raced { Seen::Race } else { seen }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_storm_the_numbers_are_what_the_clients_saw() {
    let server = Process::http(SERVER, "10ms");
    let mut clients = Vec::new();
    for client in 0..8 {
        clients.push(RawClient::open(&server.url, BOTH[client % 2]).await);
    }
    let start = std::process::id().into();
    println!("random numbers from {start}");
    let random = AtomicU64::new(start);
    let next = || {
        // Knuth's multiplier: not good random numbers, but mixed ones that can be repeated.
        let step = |x: u64| Some(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        let x = random.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).unwrap();
        usize::try_from(x >> 33).unwrap()
    };
    let calls = testing::soak(2000).len();
    let storm = stream::iter(0..calls).map(|id| {
        let (wire, fate) = (&clients[next() % clients.len()], FATES[next() % FATES.len()]);
        call(wire, id, fate)
    });
    let mut storm = storm.buffer_unordered(32);
    let mut seen = BTreeMap::new();
    let clients_side = async {
        while let Some(one) = storm.next().await {
            *seen.entry(one).or_insert(0.0) += 1.0;
        }
    };
    let operator = RawClient::open(&server.url, Protocol::V2025).await;
    let http = reqwest::Client::new();
    let operators_side = async {
        loop {
            assert_adds_up(&metrics(&server).await);
            for call in operator.calls().await {
                if call.state == State::Running && call.steps_total == STOPPED_STEPS {
                    let path = format!("/calls/{}/stop", call.call);
                    let stop = http.post(server.url.replace("/mcp", &path));
                    stop.header("x-csrf-protection", "1").send().await.unwrap();
                }
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let both = async {
        tokio::select! {
            () = clients_side => {}
            () = operators_side => {}
        }
    };
    within(2 * DEADLINE, "the end of the storm", both).await;
    drop(storm);
    // Who hangs up does not wait for the end of the call.
    let since = Instant::now();
    let mut numbers = metrics(&server).await;
    while numbers["mcp_calls_running"] > 0.0 {
        assert!(since.elapsed() < DEADLINE, "{numbers:?}");
        sleep(Duration::from_millis(10)).await;
        numbers = metrics(&server).await;
    }
    assert_adds_up(&numbers);
    let by = |cause: &str| numbers[&format!("mcp_calls_cancelled_total{{cause=\"{cause}\"}}")];
    let saw = |what| seen.get(&what).copied().unwrap_or(0.0);
    let same = |counted: f64, seen: f64| (counted - seen).abs() < 0.5;
    assert!(same(numbers["mcp_calls_started_total"], calls as f64), "{numbers:?}");
    assert!(same(numbers["mcp_calls_failed_total"], saw(Seen::Failure)), "{seen:?} {numbers:?}");
    assert!(same(by("operator"), saw(Seen::Operator)), "{seen:?} {numbers:?}");
    assert!(same(by("timeout") + by("shutdown"), 0.0), "{numbers:?}");
    // Each race ended in one of three ways, and is counted once.
    let raced = [
        numbers["mcp_calls_finished_total"] - saw(Seen::Result),
        by("notification") - saw(Seen::Cancel),
        by("disconnect") - saw(Seen::HangUp),
    ];
    assert!(raced.iter().all(|more| *more > -0.5), "{seen:?} {numbers:?}");
    assert!(same(raced.iter().sum(), saw(Seen::Race)), "{seen:?} {numbers:?}");
}

#[tokio::test]
async fn a_foreign_page_does_not_get_the_numbers() {
    let server = Process::http(SERVER, "10ms");
    let url = server.url.replace("/mcp", "/metrics");
    let asked = reqwest::Client::new().get(url).header("host", "evil.example");
    assert_eq!(asked.send().await.unwrap().status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs promtool, of Debian's prometheus: see .ci/run"]
async fn promtool_accepts_the_page() {
    let server = Process::http(SERVER, "10ms");
    let wire = RawClient::open(&server.url, Protocol::V2025).await;
    in_time("a call that is cancelled", async {
        let mut call = wire.work(1, 3000).await;
        call.progress(1).await;
        wire.cancel(1).await;
        call.answer().await;
    })
    .await;
    let mut promtool = Command::new("promtool");
    let promtool = promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    let promtool = promtool.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().expect("promtool, of Debian's package prometheus");
    child.stdin.take().unwrap().write_all(page(&server).await.as_bytes()).unwrap();
    let said = child.wait_with_output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty() && said.stdout.is_empty(), "{said:?}");
}

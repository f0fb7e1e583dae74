//! The list of calls, and its numbers.

use std::collections::BTreeMap;

use course::lesson::Protocol::V2025;
use hosting::between::Between;
use hosting::layer::Server;
use rmcp::model::{ClientCapabilities, ProtocolVersion};
use rmcp::service::PeerRequestOptions;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use serde_json::{Value, json};
use shared::calls::{CAPACITY, Calls, MAX_TEXT, State};
use shared::client::{Client, tool_call};
use shared::dataset::DataFolder;
use shared::note::{CallNote, Cause};
use shared::server::{FileServer, Setup};
use shared::stop::{BEYOND, GRACE, Stop};
use testing::hosted::{Hosted, common_server, setup};
use testing::raw::{RawClient, is_progress};
use tokio::time::{Duration, Instant, advance, sleep};
use tokio_util::sync::CancellationToken;

/// Writes its calls down, and works as long as it is told to.
#[derive(Debug, Clone)]
struct Worker(Calls);

#[tool_router(server_handler)]
impl Worker {
    /// Is done at once.
    #[tool]
    async fn finish(&self, ctx: RequestContext<RoleServer>) -> Result<String, String> {
        let call = self.0.start("finish", 1, &ctx);
        call.step_done();
        call.finish(Ok(Some("done".to_owned())))
    }

    /// Gives up, and forgets to say so.
    #[tool]
    async fn give_up(&self, ctx: RequestContext<RoleServer>) -> Result<String, String> {
        let _call = self.0.start("give_up", 1, &ctx);
        Err("no".to_owned())
    }

    /// Waits until it is cancelled, and cleans up for 300 ms.
    #[tool]
    async fn wait(&self, ctx: RequestContext<RoleServer>) -> Result<String, String> {
        let call = self.0.start("wait", 1, &ctx);
        ctx.ct.cancelled().await;
        sleep(Duration::from_millis(300)).await;
        call.finish(Ok(None))
    }
}

async fn worker() -> (Calls, Client) {
    let calls = Calls::default();
    let server = Server::new(Worker(calls.clone()));
    let pipe = hosting::pipe(server, &Between::default(), Stop::default());
    let version = ProtocolVersion::V_2025_11_25;
    let client = Client::pipe_as(ClientCapabilities::default(), pipe, version).await.unwrap();
    (calls, client)
}

/// The clock is paused: it jumps when all wait.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_secs(60), "{what}");
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_numbers_are_those_of_the_calls() {
    let (calls, client) = worker().await;
    let mut changes = calls.watch();
    client.call("finish", Value::Null).await.unwrap();
    let first = changes.recv().await.unwrap();
    assert_eq!((first.call, first.tool.as_str(), first.state), (1, "finish", State::Running));
    client.call("give_up", Value::Null).await.unwrap_err();
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let wait = tool_call("wait", Value::Null);
        let options = PeerRequestOptions::no_options();
        waiting.push(client.send_cancellable_request(wait, options).await.unwrap());
    }
    until("three calls wait", || calls.totals().running == 3).await;
    waiting.remove(0).cancel(None).await.unwrap();
    assert!(calls.stop(4) && !calls.stop(1) && !calls.stop(99), "only call 4 runs");
    until("two have stopped", || calls.totals().running == 1).await;

    let totals = calls.totals();
    assert_eq!((totals.started, totals.finished, totals.failed), (5, 1, 1));
    let cancelled = [(Cause::Notification.name(), 1), (Cause::Operator.name(), 1)];
    assert_eq!(totals.cancelled, BTreeMap::from(cancelled));
    // Each took 300 ms from the cancel to its end: the bound of 0.5 s is the sixth.
    assert_eq!((totals.stops.count, totals.stops.within), (2, [0, 0, 0, 0, 0, 2, 2, 2, 2]));
    assert!((totals.stops.sum - 0.6).abs() < 0.1, "{totals:?}");
    let states: Vec<_> = calls.list().calls.iter().map(|call| (call.call, call.state)).collect();
    let expected = [
        (1, State::Finished),
        (2, State::Failed),
        (3, State::Cancelled),
        (4, State::Cancelled),
        (5, State::Running),
    ];
    assert_eq!(states, expected);
    advance(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn the_list_forgets_the_oldest_that_ended_and_nothing_that_runs() {
    let (calls, client) = worker().await;
    let wait = tool_call("wait", Value::Null);
    let options = PeerRequestOptions::no_options();
    let _waits = client.send_cancellable_request(wait, options).await.unwrap();
    until("a call waits", || calls.totals().running == 1).await;
    for _ in 0..CAPACITY + 3 {
        client.call("finish", json!({})).await.unwrap();
    }
    let (list, _) = calls.follow();
    let numbers: Vec<_> =
        list.calls.iter().map(|call| usize::try_from(call.call).unwrap()).collect();
    // Number 1 runs. 2, 3 and 4 were the first that ended.
    let expected: Vec<_> = std::iter::once(1).chain(5..=CAPACITY + 4).collect();
    assert_eq!(numbers, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_the_bytes_of_ten_equal_steps_if_no_number_is_named() {
    let server = common_server(1).await;
    let wire = RawClient::open(&server.url, V2025).await;
    let file = json!({ "filename": "part_0.csv" });
    let messages = wire.call(1, "process_large_file", &file).await.rest().await;
    let path = DataFolder::sample().unwrap().find("part_0.csv").unwrap();
    let whole = std::fs::metadata(path).unwrap().len();
    let told: Vec<_> = messages.iter().filter(|message| is_progress(message)).collect();
    assert!(told.iter().all(|one| one["params"]["total"] == whole as f64), "{told:?}");
    let done: Vec<_> = told.iter().map(|one| one["params"]["progress"].as_f64().unwrap()).collect();
    let expected: Vec<_> = (0..=10).map(|step| (whole * step / 10) as f64).collect();
    assert_eq!(done, expected);
    assert_eq!(wire.ended(1).await.steps_total, 10);
}

/// A step that reads nothing is no news: progress must grow with each notification.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_fewer_bytes_than_steps_reports_no_number_twice() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("short.csv"), "a\n1").unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    let server = Hosted::start(FileServer::new(Setup { data, ..setup(1) })).await;
    let wire = RawClient::open(&server.url, V2025).await;
    let file = json!({ "filename": "short.csv", "processing_time": 10 });
    let messages = wire.call(1, "process_large_file", &file).await.rest().await;
    let told = messages.iter().filter(|message| is_progress(message));
    let done: Vec<_> = told.map(|one| one["params"]["progress"].as_f64().unwrap()).collect();
    assert_eq!(done, [0.0, 1.0, 2.0, 3.0]);
    let ended = wire.ended(1).await;
    assert_eq!((ended.state, ended.steps_done), (State::Finished, 10));
}

#[test]
fn a_note_knows_whether_its_call_still_carries_it() {
    let note = CallNote::default();
    assert!(!note.is_carried());
    let call = note.clone();
    assert!(note.is_carried());
    drop(call);
    assert!(!note.is_carried());
}

#[test]
fn only_an_operator_gives_a_reason_of_the_servers_own() {
    let [shutdown, operator] = [Cause::Shutdown, Cause::Operator].map(|cause| {
        let note = CallNote::default();
        note.cancel(cause);
        note
    });
    assert_eq!(shutdown.reason(), None);
    assert_eq!(operator.reason(), Some("stopped by the operator"));
}

#[tokio::test(start_paused = true)]
async fn a_stop_fires_its_token_and_waits_for_what_runs_but_not_for_ever() {
    let stop = Stop::default();
    assert!(!stop.token().is_cancelled());
    let deaf = stop.running();
    stop.now();
    assert!(stop.token().is_cancelled());
    let since = Instant::now();
    stop.settled().await;
    assert!(since.elapsed() >= GRACE + BEYOND, "{:?}", since.elapsed());
    drop(deaf);
    let since = Instant::now();
    stop.settled().await;
    assert_eq!(since.elapsed(), Duration::ZERO);
}

#[test]
fn tasks_are_counted_by_whoever_has_them() {
    let calls = Calls::default();
    assert_eq!(calls.tasks(), None);
    let two = BTreeMap::from([("working".to_owned(), 2)]);
    let counted = two.clone();
    calls.count_tasks_with(move || counted.clone());
    assert_eq!(calls.tasks(), Some(two));
    assert!(format!("{calls:?}").contains("{\"working\": 2}"), "{calls:?}");
}

#[test]
fn a_clients_text_is_bounded_and_harmless() {
    let kept = |reason: &str| {
        let note = CallNote::default();
        note.set_reason(reason);
        note.reason().unwrap().to_owned()
    };
    assert_eq!(kept("why \u{1b}[31mnot\r\n"), "why [31mnot");
    let long = kept(&"ä".repeat(4 << 20));
    assert_eq!(long.chars().count(), MAX_TEXT + 1);
    assert!(long.ends_with("ä…"));
    assert_eq!(kept(&"b".repeat(MAX_TEXT)), "b".repeat(MAX_TEXT));
}

#[test]
fn the_first_cause_counts_and_an_operators_stop_reaches_a_token_that_comes_later() {
    let (note, late) = (CallNote::default(), CancellationToken::new());
    note.cancel(Cause::Operator);
    note.set_token(late.clone());
    assert!(late.is_cancelled());
    assert!(!note.set_cause(Cause::Notification));
    assert_eq!(note.cause().map(Cause::name), Some("operator"));
}

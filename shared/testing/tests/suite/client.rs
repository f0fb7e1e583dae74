//! The lessons' client, in one process with its server: what it says is what the server says.

use std::pin::pin;
use std::time::Duration;

use course::stage::{Stage, Wrong};
use hosting::between::Between;
use hosting::layer::Server;
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientRequest, GetMeta, ProgressToken,
    ProtocolVersion, RequestId,
};
use rmcp::service::{RequestContext, ServiceError};
use rmcp::{RoleServer, tool, tool_router};
use serde_json::{Value, json};
use shared::calls::State;
use shared::client::{Client, PATIENCE, Patience, patient, text_of, tool_call};
use shared::server::FileServer;
use shared::stop::Stop;
use testing::hosted::{common_server, setup};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::{Instant, advance};

const OLD: ProtocolVersion = ProtocolVersion::V_2025_11_25;
const NEW: ProtocolVersion = ProtocolVersion::V_2026_07_28;

/// A client of this server, over a pipe.
async fn client_of(server: Server) -> Client {
    let pipe = hosting::pipe(server, &Between::default(), Stop::default());
    Client::pipe_as(ClientCapabilities::default(), pipe, OLD).await.unwrap()
}

/// A client of the common server. One step of its work takes so many milliseconds.
async fn client(tick: u64) -> Client {
    client_of(Server::new(FileServer::new(setup(tick)))).await
}

fn work(steps: u32) -> Value {
    json!({ "filename": "part_0.csv", "processing_time": steps })
}

#[tokio::test]
async fn a_result_is_a_result_and_a_tools_error_is_an_error() {
    let client = client(1).await;
    let result = client.call("process_large_file", work(2)).await.unwrap();
    assert_eq!(text_of(&result), "Successfully processed part_0.csv");
    assert_eq!(result.structured_content.unwrap()["rows"], 1000);
    let refused = client.call("process_large_file", json!({ "filename": "none.csv" })).await;
    let why = format!("{:#}", refused.unwrap_err());
    assert!(
        why.contains("process_large_file answered with an error: no file \"none.csv\""),
        "{why}"
    );
    client.close().await.unwrap();
}

#[tokio::test]
async fn what_came_in_for_a_call_is_counted() {
    let client = client(1).await;
    let call = tool_call("process_large_file", work(3));
    let call = client.send_cancellable_request(call, patient()).await.unwrap();
    let (id, token) = (call.id.clone(), call.progress_token.clone());
    call.await_response().await.unwrap();
    let traffic = client.traffic(&id, &token);
    // Progress comes at the start and after each step.
    assert_eq!(traffic.to_string(), "results: 1, errors: 0, progress: 4");
    let unknown = client.traffic(&RequestId::Number(99), &ProgressToken(RequestId::Number(99)));
    assert_eq!(unknown.to_string(), "results: 0, errors: 0, progress: 0");
}

#[tokio::test]
async fn a_call_at_work_is_that_call_and_not_another() {
    let client = client(100).await;
    let first = client.at_work("process_large_file", work(3000)).await.unwrap();
    let second = client.at_work("process_large_file", work(3000)).await.unwrap();
    let calls = client.list_calls().await.unwrap();
    assert_eq!(
        calls.iter().map(|call| &call.request_id).collect::<Vec<_>>(),
        [&first.id, &second.id]
    );
    assert!(calls.iter().all(|call| call.steps_done > 0), "{calls:?}");
    // Of a call that is over, nobody can say that it is at work.
    let quick = client.at_work("process_large_file", json!({ "filename": "none.csv" })).await;
    let why = quick.map(|_| ()).unwrap_err().to_string();
    assert!(why.starts_with("process_large_file ended before it could be cancelled"), "{why}");
}

/// Two clients of one server number their requests alike, and the call of the first runs on. The
/// clock is paused: the second call does its first step no earlier than both of its clients wait.
#[tokio::test(start_paused = true)]
async fn a_call_at_work_is_not_one_of_an_earlier_client() {
    let server = Server::new(FileServer::new(setup(100)));
    let mut open = Vec::new();
    for _ in 0..2 {
        let client = client_of(server.clone()).await;
        let call = client.at_work("process_large_file", work(3000)).await.unwrap();
        let record = client.newest("process_large_file").await.unwrap();
        let record = client.ask(record).await.unwrap();
        assert!(record.request_id == call.id && record.steps_done > 0, "{record:?}");
        open.push((client, call));
    }
    assert_eq!(open[0].1.id, open[1].1.id);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_nothing_is_not_waited_for_for_ever() {
    let client = client(3_600_000).await;
    let call = client.at_work("process_large_file", work(1));
    let ended = tokio::time::timeout(2 * PATIENCE, call).await.expect("an end of patience");
    let why = ended.map(|_| ()).unwrap_err().to_string();
    assert_eq!(why, "process_large_file has done no step within 10s");
}

/// The progress of another call is no news of this one.
#[tokio::test(start_paused = true)]
async fn a_silent_call_is_given_up_though_another_reports() {
    let client = client(100).await;
    let mut progress = client.progress();
    let _another = client.at_work("process_large_file", work(3000)).await.unwrap();
    let unknown = ProgressToken(RequestId::Number(99));
    let ended = tokio::time::timeout(2 * PATIENCE, progress.next_of(&unknown)).await;
    let why = ended.expect("an end of patience").unwrap_err().to_string();
    assert_eq!(why, "the server has sent no progress for 10s");
}

#[test]
fn a_call_has_its_arguments_or_none() {
    let given = |arguments| match tool_call("any", arguments) {
        ClientRequest::CallToolRequest(call) => call.params.arguments,
        other => panic!("not a call: {:?}", other.get_meta()),
    };
    assert_eq!(given(Value::Null), None);
    assert_eq!(json!(given(json!({ "a": 1 }))), json!({ "a": 1 }));
}

#[test]
#[should_panic(expected = "the arguments of any must be a JSON object, not [1]")]
fn arguments_without_names_are_refused() {
    tool_call("any", json!([1]));
}

#[tokio::test]
async fn a_call_is_found_by_its_number_and_by_its_id() {
    let client = client(20).await;
    assert_eq!(client.newest("process_large_file").await.unwrap(), 0);
    let first = client.at_work("process_large_file", work(3000)).await.unwrap();
    let number = client.newest("process_large_file").await.unwrap();
    let second = client.at_work("process_large_file", work(10)).await.unwrap();
    assert_eq!(client.newest("process_large_file").await.unwrap(), number + 1);
    assert_eq!(client.newest("another").await.unwrap(), 0);

    assert_eq!(client.ask(number).await.unwrap().request_id, first.id);
    let unknown = client.ask(99).await.unwrap_err().to_string();
    assert!(unknown.starts_with("the server lists no call 99"), "{unknown}");
    // It runs, so this waits for its end.
    let ended = client.ask_by_id(&second.id).await.unwrap();
    assert_eq!((ended.request_id, ended.state), (second.id.clone(), State::Finished));
    let unknown = client.ask_by_id(&RequestId::Number(99)).await.unwrap_err().to_string();
    assert_eq!(unknown, "the server never saw request 99");

    first.cancel(Some("a test".to_owned())).await.unwrap();
    let calls = client.ask_until_all_ended().await.unwrap();
    let states: Vec<_> = calls.iter().map(|call| call.state).collect();
    assert_eq!(states, [State::Cancelled, State::Finished]);
}

#[tokio::test(start_paused = true)]
async fn patience_counts_its_pauses_and_not_the_time() {
    let second = Duration::from_secs(1);
    let (mut patience, since, mut pauses) = (Patience::of(second), Instant::now(), 0);
    while patience.lasts().await {
        pauses += 1;
    }
    assert_eq!((since.elapsed(), pauses), (second, 15));

    let mut patience = Patience::of(second);
    while patience.lasts().await {
        // The machine stands still for an hour.
        advance(3600 * second).await;
        pauses -= 1;
    }
    assert_eq!(pauses, 0);
}

/// The clock is paused: it jumps when all wait.
#[tokio::test(start_paused = true)]
async fn a_server_is_asked_until_the_end_and_no_longer() {
    let client = client(100).await;
    let since = Instant::now();
    let _one = client.at_work("process_large_file", work(10)).await.unwrap();
    let call = client.newest("process_large_file").await.unwrap();
    assert_eq!(client.ask_until_ended(call).await.unwrap().state, State::Finished);
    let _two = client.at_work("process_large_file", work(10)).await.unwrap();
    let calls = client.ask_until_all_ended().await.unwrap();
    assert!(calls.iter().all(|call| call.state == State::Finished), "{calls:?}");
    assert!(since.elapsed() < PATIENCE, "it went on asking");

    let _long = client.at_work("process_large_file", work(3000)).await.unwrap();
    let since = Instant::now();
    let call = client.newest("process_large_file").await.unwrap();
    assert_eq!(client.ask_until_ended(call).await.unwrap().state, State::Running);
    client.ask_until_all_ended().await.unwrap();
    assert!(since.elapsed() >= 2 * PATIENCE, "it gave up early");

    let client = client.with_patience(PATIENCE / 5);
    let since = Instant::now();
    assert_eq!(client.ask_until_ended(call).await.unwrap().state, State::Running);
    let asked = since.elapsed();
    assert!(asked >= PATIENCE / 5 && asked < PATIENCE / 2, "its patience is {asked:?}");
}

/// The shorter calls of the lessons take ten steps. So a wrong server shows that they end by
/// themselves, at each length of a step that a README uses.
#[test]
fn a_wrong_server_is_given_the_time_of_ten_steps() {
    let with = |wrong, tick_ms| Stage::patience_with(wrong, Duration::from_millis(tick_ms));
    for (tick_ms, patience_ms) in [(1, 2_000), (200, 2_000), (500, 5_000), (1_000, 10_000)] {
        let patience = Duration::from_millis(patience_ms);
        assert_eq!(with(Some(Wrong::Deaf), tick_ms), patience, "{tick_ms}");
    }
    assert_eq!(with(Some(Wrong::Deaf), 3_600_000), PATIENCE);
    assert_eq!(with(None, 1), PATIENCE);
}

/// The server's own list of one call, over HTTP.
async fn session_of_a_call(url: &str, protocol: ProtocolVersion) -> Option<String> {
    let client = Client::http(url, protocol).await.unwrap();
    client.call("process_large_file", work(1)).await.unwrap();
    let call = client.newest("process_large_file").await.unwrap();
    let session = client.ask(call).await.unwrap().session;
    client.close().await.unwrap();
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_revision_has_sessions_and_the_new_one_has_none() {
    let server = common_server(1).await;
    let [one, other] = [
        session_of_a_call(&server.url, OLD).await.unwrap(),
        session_of_a_call(&server.url, OLD).await.unwrap(),
    ];
    // Eight characters of its id: enough to tell sessions apart, too few to use one.
    assert!(one.len() == 8 && other.len() == 8 && one != other, "{one} {other}");
    assert_eq!(session_of_a_call(&server.url, NEW).await, None);
}

#[derive(Debug, Clone)]
struct Silent;

#[tool_router(server_handler)]
impl Silent {
    /// Never answers.
    #[tool]
    async fn wait(&self, ctx: RequestContext<RoleServer>) -> String {
        ctx.ct.cancelled().await;
        "cancelled".to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_patient_call_gives_up_on_a_silent_server() {
    let client = client_of(Server::new(Silent)).await;
    let call = client.send_cancellable_request(tool_call("wait", Value::Null), patient()).await;
    let hour = Duration::from_secs(3600);
    let answer = tokio::time::timeout(hour, call.unwrap().await_response()).await;
    assert!(matches!(answer, Ok(Err(ServiceError::Timeout { .. }))), "{answer:?}");
}

/// rmcp gives each write a task of its own, and a worker of tokio runs the newest task first: the
/// cancel would be written before its call. With one worker that is no luck.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_is_dropped_at_once_is_sent_before_its_cancel() {
    let (ours, theirs) = tokio::io::duplex(4096);
    let (input, mut output) = tokio::io::split(theirs);
    let mut input = BufReader::new(input).lines();
    let server = async {
        let hello: Value =
            serde_json::from_str(&input.next_line().await.unwrap().unwrap()).unwrap();
        let info = json!({ "name": "by hand", "version": "0" });
        let info = json!({ "protocolVersion": OLD, "capabilities": {}, "serverInfo": info });
        let answer = json!({ "jsonrpc": "2.0", "id": hello["id"], "result": info });
        output.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
        input.next_line().await.unwrap();
    };
    let (client, ()) =
        tokio::join!(Client::pipe_as(ClientCapabilities::default(), ours, OLD), server);
    let client = client.unwrap();
    let peer = client.peer().clone();
    let call = async move {
        let call = peer.call_tool(CallToolRequestParams::new("any"));
        assert!(futures::poll!(pin!(call)).is_pending());
    };
    tokio::spawn(call).await.unwrap();
    for method in ["tools/call", "notifications/cancelled"] {
        let line = input.next_line().await.unwrap().unwrap();
        assert!(line.contains(method), "not {method}, but {line}");
    }
}

//! How a cancelled call ends on HTTP, seen on the wire.

use std::time::Duration;

use course::lesson::Protocol::{V2025, V2026};
use hosting::between::Between;
use hosting::layer::Server;
use hosting::open_calls::KEPT;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::calls::State;
use shared::server::FileServer;
use testing::hosted::{Hosted, common_server, setup};
use testing::raw::{
    Events, RawClient, assert_cancelled_once, assert_finished, find, in_time, is_progress, steps,
    tool_call,
};
use tokio::time::sleep;
use wrong::Wrong;

const NOTHING: [Value; 0] = [];

/// A call of this id, cancelled at work, ends with one error, and the tool stops.
async fn ends_with_one_error(id: Value) {
    let server = common_server(10).await;
    let wire = RawClient::open(&server.url, V2025).await;
    let mut call = wire.work(id.clone(), 3000).await;
    call.progress(3).await;
    wire.cancel(id.clone()).await;
    assert_cancelled_once(&call.rest().await, &id);
    let record = wire.ended(id).await;
    assert_eq!(record.state, State::Cancelled);
    assert_eq!(record.reason.as_deref(), Some("a test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_post_ends_with_one_error_32800_and_the_tool_stops() {
    ends_with_one_error(json!(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn request_0_can_be_cancelled() {
    ends_with_one_error(json!(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_named_by_text_can_be_cancelled() {
    ends_with_one_error(json!("abc")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_cancel_adds_nothing() {
    let server = common_server(10).await;
    let wire = RawClient::open(&server.url, V2025).await;
    let listening = wire.listen(None).await;
    let mut call = wire.work(1, 3000).await;
    call.progress(1).await;
    wire.cancel(1).await;
    wire.cancel(1).await;
    assert_cancelled_once(&call.rest().await, &json!(1));
    wire.still_serves().await;
    assert_eq!(wire.close(listening).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_only_its_own_session() {
    let server = common_server(10).await;
    let mine = RawClient::open(&server.url, V2025).await;
    let other = RawClient::open(&server.url, V2025).await;
    let mut call = mine.work(1, 30).await;
    call.progress(1).await;
    other.cancel(1).await;
    assert_finished(&call.answer().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_of_a_finished_call_is_met_with_silence() {
    let server = common_server(1).await;
    let wire = RawClient::open(&server.url, V2025).await;
    let listening = wire.listen(None).await;
    // `answer` has read the POST to its end: after that, only the GET stream could speak.
    assert_finished(&wire.work(1, 1).await.answer().await);
    wire.cancel(1).await;
    wire.still_serves().await;
    assert_eq!(find(&wire.calls().await, &json!(1)).state, State::Finished);
    assert_eq!(wire.close(listening).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_call_with_the_id_of_a_running_one_is_refused_and_the_first_keeps_its_stream() {
    let server = common_server(10).await;
    let wire = RawClient::open(&server.url, V2025).await;
    let listening = wire.listen(None).await;
    let mut call = wire.work(1, 3000).await;
    call.progress(2).await;
    let refused = wire.work(1, 1).await.answer().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(1), &json!(-32600)));
    call.progress(3).await;
    wire.cancel(1).await;
    assert_cancelled_once(&call.rest().await, &json!(1));
    wire.still_serves().await;
    assert_eq!(wire.close(listening).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_session_has_ids_of_its_own() {
    let server = common_server(10).await;
    let mine = RawClient::open(&server.url, V2025).await;
    let mut call = mine.work(1, 3000).await;
    call.progress(1).await;
    assert_finished(&RawClient::open(&server.url, V2025).await.work(1, 1).await.answer().await);
    mine.cancel(1).await;
    assert_cancelled_once(&call.rest().await, &json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_stream_goes_on_where_it_was_cut_and_gets_the_error() {
    let server = common_server(10).await;
    let wire = RawClient::open(&server.url, V2025).await;
    // Fewer steps than rows: each step has progress to tell.
    let mut call = wire.work(1, 900).await;
    call.progress(1).await;
    let seen = call.next().await.unwrap();
    let last_id = call.last_id.take();
    drop(call);
    let mut resumed = wire.listen(last_id.as_deref()).await;
    // It goes on after the event that was seen last: progress only ever increases.
    let next = resumed.next().await.unwrap();
    let progress = |message: &Value| message["params"]["progress"].as_f64();
    assert!(progress(&next) > progress(&seen), "{seen} and then {next}");
    resumed.progress(1).await;
    wire.cancel(1).await;
    assert_cancelled_once(&resumed.rest().await, &json!(1));
}

/// Starts a call of this many steps, loses its stream at work, and returns the event it saw last.
async fn cut(wire: &RawClient, id: u32, steps: u32) -> String {
    let mut call = wire.work(id, steps).await;
    call.progress(1).await;
    call.last_id.take().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_there_for_a_client_that_comes_back_after_the_end_of_the_call() {
    let server = common_server(10).await;
    let wire = RawClient::open(&server.url, V2025).await;
    let seen = cut(&wire, 1, 5).await;
    assert_eq!(wire.ended(1).await.state, State::Finished);
    let mut resumed = wire.listen(Some(&seen)).await;
    let mut messages = vec![resumed.next().await.unwrap()];
    let last_id = resumed.last_id.clone();
    messages.extend(resumed.rest().await);
    assert_finished(messages.last().unwrap());
    // By now rmcp has forgotten the stream for sure.
    for _ in 0..2 {
        assert_finished(&wire.listen(Some(&seen)).await.answer().await);
    }
    // Nothing follows an answer.
    assert_eq!(wire.listen(last_id.as_deref()).await.rest().await, NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_read_is_not_given_again() {
    let server = common_server(1).await;
    let wire = RawClient::open(&server.url, V2025).await;
    let mut call = wire.work(1, 1).await;
    while is_progress(&call.next().await.unwrap()) {}
    assert_eq!(wire.listen(call.last_id.as_deref()).await.rest().await, NOTHING);
}

/// A deaf tool reports on. What it says is not taken for news of the next call.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_used_again_brings_no_progress_of_the_cancelled_call() {
    let setup = setup(10);
    let stop = setup.stop.clone();
    let server = Wrong::Deaf.tools(Server::new(FileServer::new(setup)));
    let server = Hosted::host(server, stop, Between::default()).await;
    let wire = RawClient::open(&server.url, V2025).await;
    let start = async |id: u32, of: u32| {
        let mut call = tool_call(V2025, &json!(id), "process_large_file", &steps(of));
        call["params"]["_meta"]["progressToken"] = json!("p");
        Events::of(wire.post(&call).await).await
    };
    let mut cancelled = start(1, 300).await;
    cancelled.progress(5).await;
    wire.cancel(1).await;
    assert_cancelled_once(&cancelled.rest().await, &json!(1));
    let messages = start(2, 20).await.rest().await;
    let told = messages.iter().filter_map(|message| message["params"]["progress"].as_f64());
    assert!(told.is_sorted(), "{messages:?}");
    assert_finished(messages.last().unwrap());
    assert_eq!(find(&wire.calls().await, &json!(1)).state, State::Running);
}

/// The work goes on, and so does the rest of the session: its cancels are heard.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_nobody_reads_does_not_deafen_its_session() {
    let server = common_server(1).await;
    let wire = RawClient::open(&server.url, V2025).await;
    let mut call = tool_call(V2025, &json!(1), "process_large_file", &steps(3000));
    // Long enough that a few dozen notifications fill every buffer on the way.
    call["params"]["_meta"]["progressToken"] = json!("x".repeat(200_000));
    let unread = wire.post(&call).await;
    let other = RawClient::open(&server.url, V2025).await;
    in_time("200 steps", async {
        while !other.calls().await.iter().any(|call| call.steps_done >= 200) {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    wire.cancel(1).await;
    assert_eq!(other.ended(1).await.state, State::Cancelled);
    wire.still_serves().await;
    assert!(unread.text().await.unwrap().contains("\"code\":-32800"), "no end");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_of_a_cancelled_call_is_there_for_a_client_that_comes_back() {
    let server = common_server(10).await;
    let wire = RawClient::open(&server.url, V2025).await;
    let seen = cut(&wire, 1, 3000).await;
    wire.cancel(1).await;
    wire.ended(1).await;
    for _ in 0..2 {
        assert_cancelled_once(&wire.listen(Some(&seen)).await.rest().await, &json!(1));
    }
    // An answer is for the session that asked.
    let other = RawClient::open(&server.url, V2025).await;
    assert_eq!(other.listen(Some(&seen)).await.rest().await, NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_keeps_its_newest_answers_only() {
    let server = common_server(1).await;
    let wire = RawClient::open(&server.url, V2025).await;
    let (kept, calls) = (u32::try_from(KEPT).unwrap(), u32::try_from(KEPT).unwrap() + 1);
    let mut seen = Vec::new();
    for id in 0..calls {
        let mut call = wire.work(id, 1).await;
        call.progress(1).await;
        seen.push(call.last_id.clone().unwrap());
        call.rest().await;
    }
    let mut answers = 0;
    for event in &seen {
        answers += u32::from(!wire.listen(Some(event)).await.rest().await.is_empty());
    }
    assert_eq!(answers, kept);
    assert_eq!(wire.listen(Some(&seen[0])).await.rest().await, NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_cancelled_call_moves_to_the_get_stream() {
    let server = common_server(5).await;
    let wire = RawClient::open(&server.url, V2025).await;
    let listening = wire.listen(None).await;
    for round in 0..30_u32 {
        let mut call = wire.work(round, 3000).await;
        call.progress(1).await;
        // At another moment of a step each time: now and then a progress is under way.
        sleep(Duration::from_micros(333) * round).await;
        wire.cancel(round).await;
        assert_cancelled_once(&call.rest().await, &json!(round));
    }
    // What came late would come during these 20 steps.
    assert_finished(&wire.work("fence", 20).await.answer().await);
    assert_eq!(wire.close(listening).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_takes_its_calls_with_it() {
    let server = common_server(10).await;
    let leaving = RawClient::open(&server.url, V2025).await;
    let staying = RawClient::open(&server.url, V2025).await;
    let mut call = leaving.work(1, 3000).await;
    call.progress(1).await;
    leaving.delete().await;
    // Nobody cancelled this call, so nobody is told that it was cancelled.
    let messages = call.rest().await;
    assert!(messages.iter().all(|message| message["error"]["code"] != -32800), "{messages:?}");
    assert_eq!(staying.ended(1).await.state, State::Cancelled);
}

/// rmcp answers 202, "accepted". The Python SDK takes that for a failure and logs it.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_is_gone_and_the_answer_says_so() {
    let server = common_server(10).await;
    let wire = RawClient::open(&server.url, V2025).await;
    let deleted = wire.http(Method::DELETE).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(deleted.bytes().await.unwrap().len(), 0);
    assert_eq!(wire.http(Method::GET).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    // A mistyped id must not look like success.
    let twice = wire.http(Method::DELETE).send().await.unwrap();
    assert_eq!(twice.status(), StatusCode::NOT_FOUND);
    // Only what succeeded is changed.
    let nameless = RawClient::open(&server.url, V2026).await;
    let refused = nameless.http(Method::DELETE).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_2026_07_28_a_dropped_stream_stops_its_call_and_no_other() {
    let server = common_server(10).await;
    let wire = RawClient::open(&server.url, V2026).await;
    let (mut dropped, mut sibling) = (wire.work(1, 3000).await, wire.work(2, 50).await);
    dropped.progress(2).await;
    sibling.progress(2).await;
    drop(dropped);
    assert_eq!(wire.ended(1).await.state, State::Cancelled);
    assert_finished(&sibling.answer().await);
    assert_eq!(wire.ended(2).await.state, State::Finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_2026_07_28_nobody_can_cancel_the_call_of_another() {
    let server = common_server(10).await;
    let mine = RawClient::open(&server.url, V2026).await;
    let mut call = mine.work(1, 30).await;
    call.progress(1).await;
    for protocol in [V2025, V2026] {
        RawClient::open(&server.url, protocol).await.cancel(1).await;
    }
    assert_finished(&call.answer().await);
}

//! The story passes in both revisions, and fails, by its own sentence, against servers that are
//! wrong on purpose. Below: what HTTP makes of a cancel, where no SDK on the client's side helps.
//! The modules look at clients and servers in other languages, at the MCP Inspector, and at the Postman collection.

mod foreign;
mod inspector;
mod postman;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use course::lesson::Protocol::{self, V2025, V2026};
use course::port::Port;
use course::stage::Stage;
use futures::FutureExt;
use futures::future::BoxFuture;
use hosting::between::Between;
use hosting::layer::{Layer, Server};
use on_the_wire::LESSON;
use predicates::str::contains;
use rmcp::model::{CallToolRequestParams, CallToolResponse, ProtocolVersion};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler, object};
use serde_json::{Value, json};
use shared::calls::{CallRecord, Calls, State};
use shared::client::Client;
use shared::server::{FileServer, Setup};
use testing::hosted::{Hosted, common_server, setup};
use testing::raw::{RawClient, assert_finished, in_time, request};
use testing::story::{HTTP_2025, HTTP_2026, Program};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use wrong::Wrong;

const PROGRAM: Program = Program(env!("CARGO_BIN_EXE_on-the-wire"));

testing::passes_on!("on-the-wire", "--tick 50ms", http_2025 http_2026);
testing::readme_shows_real_output!("on-the-wire");

// The check of the exercise is right about the stub, a solution and wrong answers.
testing::judges!(on_the_wire::prove:
    another_id another_protocol believes_202 believes_the_answer believes_the_list blocks hangs_up own_side_only panics);

#[test]
fn every_chapter_passes_alone() {
    for way in [HTTP_2025, HTTP_2026] {
        for chapter in ["cancel", "wrong-id", "lsp-name"] {
            let played = PROGRAM.play(&format!("{way} {chapter} --tick 50ms"));
            played.success().stdout(contains("the server says: cancelled after"));
        }
    }
}

#[test]
fn does_not_run_on_stdio() {
    PROGRAM
        .play("--transport stdio")
        .code(2)
        .stderr(contains("on-the-wire does not run on stdio, only on http"));
}

#[test]
fn a_url_without_a_chapter_is_told_where_it_belongs() {
    let refused = PROGRAM.play("--url http://localhost:8000/mcp").code(2);
    refused.stderr(contains(
        "say first what to play against http://localhost:8000/mcp: client, cancel, wrong-id, lsp-name",
    ));
}

#[test]
fn a_chapter_without_its_server_says_how_to_start_one() {
    let nobody = Port::keep().unwrap();
    let url = format!("--url http://{}/mcp", nobody.address());
    PROGRAM.fails("cancel", &url, "start one with `serve`, or name it with --url");
}

/// Plays a chapter against this server, and returns its complaint, if it has one.
async fn play(chapter: &str, protocol: Protocol, url: &str, foreign: bool) -> String {
    let mut stage = Stage::over_http(url, protocol);
    stage.foreign = foreign;
    let chapter = LESSON.chapters.iter().find(|each| each.name == chapter).unwrap();
    let played = (chapter.story)(&stage).await;
    played.err().map(|error| format!("{error:#}")).unwrap_or_default()
}

/// The chapter complains of a server with this flaw.
async fn notices(chapter: &str, protocol: Protocol, wrong: Wrong, sentence: &str) {
    let setup = setup(100);
    let stop = setup.stop.clone();
    let server = wrong.tools(Server::new(FileServer::new(setup)));
    let server = Hosted::host(server, stop, wrong.connections()).await;
    let complaint = play(chapter, protocol, &server.url, false).await;
    assert!(complaint.contains(sentence), "{complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_chapter_notices_a_server_that_does_not_stop() {
    let sentence = "the server did not stop: 5 steps after the cancel";
    for protocol in [V2025, V2026] {
        let chapters = ["cancel", "wrong-id", "lsp-name"];
        futures::future::join_all(
            chapters.map(|chapter| notices(chapter, protocol, Wrong::Deaf, sentence)),
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_server_that_takes_a_text_for_a_number() {
    let sentence = "a cancel for the string \"2\" changed the call 2";
    notices("wrong-id", V2025, Wrong::Lax, sentence).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_server_that_stops_what_was_not_named() {
    notices("wrong-id", V2025, Wrong::Jumpy, "changed the call 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_server_that_speaks_the_language_server_protocol() {
    notices("lsp-name", V2025, Wrong::Lsp, "$/cancelRequest changed the call 2").await;
}

/// Takes every call for one of four steps, and hears of no cancel.
struct Short;

impl Layer for Short {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        mut request: CallToolRequestParams,
        mut ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        if request.name == "process_large_file" {
            request.arguments.get_or_insert_default().insert("processing_time".into(), 4.into());
            ctx.ct = CancellationToken::new();
        }
        next.call_tool(request, ctx).boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_server_that_finishes_instead() {
    let setup = setup(100);
    let stop = setup.stop.clone();
    let server = Server::new(FileServer::new(setup)).with(Short);
    let server = Hosted::host(server, stop, Between::default()).await;
    let complaint = play("cancel", V2025, &server.url, false).await;
    assert_eq!(complaint, "the server did not cancel: its call is \"finished\"");
}

/// The common server as rmcp hosts it when nobody thinks of a cancelled call's end.
fn stock(setup: Setup, json_response: bool) -> Router {
    let server = FileServer::new(setup);
    let sessions = Arc::new(LocalSessionManager::default());
    let config = StreamableHttpServerConfig::default().with_json_response(json_response);
    let mcp = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
    Router::new().route_service("/mcp", mcp)
}

/// Serves these routes for as long as the test lasts. Returns the endpoint.
async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, routes).into_future());
    url
}

/// The specification asks for no answer to a cancelled call: of a server of somebody else's the
/// lesson only says what it saw.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_ends_without_a_word_is_a_flaw_of_ours_and_a_remark_on_others() {
    let url = serve(stock(setup(100), false)).await;
    let complaint = play("cancel", V2025, &url, false).await;
    assert_eq!(complaint, "the stream ended without an answer");
    assert_eq!(play("cancel", V2025, &url, true).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_notification_that_is_not_accepted() {
    let picky = stock(setup(100), false).layer(map_response(async |response: Response| {
        if response.status() == StatusCode::ACCEPTED {
            return StatusCode::NO_CONTENT.into_response();
        }
        response
    }));
    let complaint = play("lsp-name", V2025, &serve(picky).await, false).await;
    assert_eq!(complaint, "a notification was answered with status 204 No Content");
}

/// Waits until the server's only call has started, or until it has ended.
async fn until(calls: &Calls, wanted: impl Fn(&CallRecord) -> bool) -> CallRecord {
    in_time("the call", async {
        loop {
            if let Some(call) = calls.list().calls.into_iter().find(|call| wanted(call)) {
                return call;
            }
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

/// A call over a plain TCP connection. Nobody has read from it.
async fn call_unread(url: &str, message: &Value) -> TcpStream {
    let address = url.trim_start_matches("http://").trim_end_matches("/mcp");
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let body = message.to_string();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
         Mcp-Method: tools/call\r\nMcp-Name: process_large_file\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    tcp.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    tcp
}

/// A call without progress, whose client hangs up before it has read a byte.
async fn hang_up_unread(json_response: bool) {
    let setup = setup(50);
    let calls = setup.calls.clone();
    let url = serve(stock(setup, json_response)).await;
    let arguments = json!({ "filename": "part_0.csv", "processing_time": 3600 });
    let params = json!({ "name": "process_large_file", "arguments": arguments });
    let call = call_unread(&url, &request(V2026, &json!(1), "tools/call", params)).await;
    until(&calls, |call| call.steps_done > 0).await;
    drop(call);
    let ended = until(&calls, |call| call.state != State::Running).await;
    assert_eq!(ended.state, State::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_before_the_first_byte_cancels_on_2026_07_28() {
    hang_up_unread(false).await;
}

/// The server answers with one JSON body, so nothing at all is sent before the call's end.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_on_a_json_answer_cancels_on_2026_07_28() {
    hang_up_unread(true).await;
}

/// A client that lost its stream and comes back after its cancel is not left to wait.
#[tokio::test(flavor = "multi_thread")]
async fn resuming_a_cancelled_call_ends() {
    let server = common_server(20).await;
    let wire = RawClient::open(&server.url, V2025).await;
    let mut call = wire.work(1, 3000).await;
    call.progress(3).await;
    let last_id = call.last_id.clone();
    drop(call);
    wire.cancel(1).await;
    assert_eq!(wire.ended(1).await.state, State::Cancelled);
    let messages = wire.listen(last_id.as_deref()).await.rest().await;
    assert!(messages.iter().all(|message| message["result"].is_null()), "{messages:?}");
}

/// Without a session a cancel in a POST names nobody's call. It is received, and that is all.
#[tokio::test(flavor = "multi_thread")]
async fn a_posted_cancel_has_no_effect_on_2026_07_28() {
    let server = common_server(20).await;
    let wire = RawClient::open(&server.url, V2026).await;
    let mut call = wire.work(1, 20).await;
    call.progress(1).await;
    wire.cancel(1).await;
    assert_finished(&call.answer().await);
    assert_eq!(wire.ended(1).await.steps_done, 20);
}

/// Rmcp's client cancels on HTTP 2026-07-28 without a message.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_2026_07_28_closes_the_stream_and_posts_nothing() {
    let setup = setup(50);
    let calls = setup.calls.clone();
    let posted: Arc<Mutex<Vec<Value>>> = Arc::default();
    let seen = posted.clone();
    let url = serve(stock(setup, false).layer(from_fn(move |request: Request, next: Next| {
        let seen = seen.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let message: Value = serde_json::from_slice(&body).unwrap_or_default();
            seen.lock().unwrap().push(message["method"].clone());
            next.run(Request::from_parts(head, Body::from(body))).await
        }
    })))
    .await;
    let client = Client::http(&url, ProtocolVersion::V_2026_07_28).await.unwrap();
    let mut progress = client.progress();
    let arguments = object!({ "filename": "part_0.csv", "processing_time": 3600 });
    let work = CallToolRequestParams::new("process_large_file").with_arguments(arguments);
    tokio::select! {
        answer = client.call_tool(work) => panic!("{answer:?}"),
        news = progress.next() => drop(news.unwrap()),
    }
    assert_eq!(until(&calls, |call| call.state != State::Running).await.state, State::Cancelled);
    client.close().await.unwrap();
    let posted = posted.lock().unwrap().clone();
    let cancels = posted.iter().filter(|method| *method == "notifications/cancelled").count();
    assert_eq!((posted.last(), cancels), (Some(&json!("tools/call")), 0), "{posted:?}");
}

//! Why a call was told to stop: each cause, by the way that it really comes.

use course::lesson::Protocol::{V2025, V2026};
use hosting::between::Between;
use hosting::layer::Server;
use rmcp::model::{ClientCapabilities, ProtocolVersion};
use rmcp::service::PeerRequestOptions;
use shared::calls::{CallRecord, Calls, State};
use shared::client::{Client, tool_call};
use shared::note::Cause;
use shared::server::FileServer;
use shared::stop::Stop;
use testing::hosted::{Hosted, setup};
use testing::raw::{BOTH, RawClient, in_time, steps};

/// A common server whose list the test can look into while and after it serves.
async fn server() -> (Hosted, Calls) {
    let setup = setup(10);
    let (calls, stop) = (setup.calls.clone(), setup.stop.clone());
    let server = Server::new(FileServer::new(setup));
    (Hosted::host(server, stop, Between::default()).await, calls)
}

/// Waits for the end of the only call.
async fn the_end(calls: &Calls) -> CallRecord {
    let mut changes = calls.watch();
    in_time("the end of the call", async {
        loop {
            match &calls.list().calls[..] {
                [call] if call.state != State::Running => return call.clone(),
                _ => drop(changes.recv().await),
            }
        }
    })
    .await
}

async fn ends_with(cause: Cause, calls: &Calls) {
    let call = the_end(calls).await;
    assert_eq!((call.state, call.cause), (State::Cancelled, Some(cause)), "{call:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification() {
    let (server, calls) = server().await;
    let wire = RawClient::open(&server.url, V2025).await;
    let mut call = wire.work(1, 3000).await;
    call.progress(1).await;
    wire.cancel(1).await;
    ends_with(Cause::Notification, &calls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_the_client_closes() {
    let (server, calls) = server().await;
    let wire = RawClient::open(&server.url, V2026).await;
    let mut call = wire.work(1, 3000).await;
    call.progress(1).await;
    drop(call);
    ends_with(Cause::Disconnect, &calls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_client_deletes() {
    let (server, calls) = server().await;
    let wire = RawClient::open(&server.url, V2025).await;
    let mut call = wire.work(1, 3000).await;
    call.progress(1).await;
    wire.delete().await;
    ends_with(Cause::Disconnect, &calls).await;
}

/// `hosting/tests/suite/cancel.rs` has the session that falls silent.
#[tokio::test(start_paused = true)]
async fn a_standard_input_that_ends() {
    let setup = setup(10);
    let calls = setup.calls.clone();
    let server = Server::new(FileServer::new(setup));
    let pipe = hosting::pipe(server, &Between::default(), Stop::default());
    let revision = ProtocolVersion::V_2025_11_25;
    let client = Client::pipe_as(ClientCapabilities::default(), pipe, revision).await.unwrap();
    let mut progress = client.progress();
    let work = tool_call("process_large_file", steps(3000));
    let call =
        client.send_cancellable_request(work, PeerRequestOptions::no_options()).await.unwrap();
    progress.next_of(&call.progress_token).await.unwrap();
    drop(call);
    client.close().await.unwrap();
    ends_with(Cause::Disconnect, &calls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown() {
    for protocol in BOTH {
        let (server, calls) = server().await;
        let wire = RawClient::open(&server.url, protocol).await;
        let mut call = wire.work(1, 3000).await;
        call.progress(1).await;
        server.stop.now();
        let answer = call.answer().await;
        assert_eq!(answer["error"]["message"], "the server is shutting down", "{answer}");
        ends_with(Cause::Shutdown, &calls).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_stops_one_call_and_its_caller_is_told() {
    for protocol in BOTH {
        let (server, calls) = server().await;
        let wire = RawClient::open(&server.url, protocol).await;
        let mut stopped = wire.work(1, 3000).await;
        stopped.progress(1).await;
        assert!(calls.stop(1));
        let answer = stopped.answer().await;
        assert_eq!(answer["error"]["message"], "stopped by the operator", "{answer}");
        let call = the_end(&calls).await;
        assert_eq!((call.state, call.cause), (State::Cancelled, Some(Cause::Operator)));
        assert_eq!(call.reason.as_deref(), Some("stopped by the operator"));
        assert!(!calls.stop(1), "it has ended");
        assert!(!calls.stop(2), "there is no such call");
        wire.still_serves().await;
        let next = wire.calls().await.pop().unwrap();
        assert_eq!((next.state, next.cause), (State::Finished, None));
    }
}

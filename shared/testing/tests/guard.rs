//! What the guard around each server does: its log, its limits, and schemas for everybody.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use course::lesson::Protocol::{V2025, V2026};
use hosting::between::Between;
use hosting::guard::{Guard, Limits};
use hosting::layer::Server;
use rmcp::ServerHandler;
use serde_json::{Value, json};
use shared::server::FileServer;
use shared::stop::Stop;
use testing::hosted::{Hosted, common_server, setup};
use testing::raw::{BOTH, RawClient, in_time};
use tracing::subscriber::DefaultGuard;
use wrong::Wrong;

/// Where a subscriber writes its lines.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Hears all that this thread logs, as long as the guard is held.
    fn listen() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().json().with_max_level(tracing::Level::INFO);
        let subscriber = subscriber.with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// The events with this message, as JSON.
    fn events(&self, message: &str) -> Vec<Value> {
        let log = self.0.lock().unwrap();
        let lines = str::from_utf8(&log).unwrap().lines();
        let events = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.filter(|event| event["fields"]["message"] == message).collect()
    }
}

/// One thread, so that the subscriber of the test hears all that the server does.
#[tokio::test]
async fn a_cancelled_call_is_logged_from_its_start_to_its_end() {
    let (log, _logging) = Log::listen();

    let server = common_server(10).await;
    let client = RawClient::open(&server.url, V2025).await;
    let mut call = client.work(7, 3000).await;
    call.progress(1).await;
    client.cancel(7).await;
    let record = client.ended(7).await;

    let of_the_call = |event: &Value| event["span"]["request_id"] == "7";
    for message in ["call starts", "call is cancelled", "call has ended"] {
        let events = log.events(message);
        let event = events.iter().find(|event| of_the_call(event));
        let event = event.unwrap_or_else(|| panic!("no {message:?} of this call in {events:?}"));
        assert_eq!(event["span"]["tool"], "process_large_file");
        assert_eq!(json!(record.session), event["span"]["session"]);
        let fields = &event["fields"];
        match message {
            "call is cancelled" => assert_eq!(fields["reason"], "a test"),
            "call has ended" => {
                assert_eq!(fields["outcome"], "cancelled");
                assert!(fields["cancel_to_stop_ms"].as_f64().unwrap() >= 0.0);
            }
            _ => {}
        }
    }
}

/// A deaf tool: cancelled, and still at work when the server stops.
#[tokio::test]
async fn a_cancelled_call_is_not_cancelled_again_when_the_server_stops() {
    let (log, _logging) = Log::listen();

    let stop = Stop::with_grace(Duration::from_millis(50));
    let server = Wrong::Deaf.tools(Server::new(FileServer::new(setup(10))));
    let server = Hosted::host(server, stop.clone(), Between::default()).await;
    let client = RawClient::open(&server.url, V2025).await;
    let mut call = client.work(7, 3000).await;
    call.progress(1).await;
    client.cancel(7).await;
    stop.now();
    in_time("the end of the server", server.hosting).await.unwrap().unwrap();
    assert_eq!(log.events("call is cancelled").len(), 1, "{:?}", log.events("call is cancelled"));
    assert_eq!(log.events("call has ended")[0]["fields"]["outcome"], "aborted");
}

#[tokio::test]
async fn a_finished_call_is_logged_without_a_cancel() {
    let (log, _logging) = Log::listen();

    let server = common_server(1).await;
    RawClient::open(&server.url, V2026).await.work(7, 1).await.answer().await;
    let ended = log.events("call has ended");
    let event = ended.iter().find(|event| event["span"]["request_id"] == "7").unwrap();
    assert_eq!(event["fields"]["outcome"], "finished");
    assert_eq!(event["fields"].get("cancel_to_stop_ms"), None);
    assert_eq!(event["span"].get("session"), None, "2026-07-28 has no sessions");
    assert!(log.events("call is cancelled").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_too_many_is_told_to_come_back() {
    let limits = Limits { calls: 2, ..Limits::default() };
    let server = Server::new(FileServer::new(setup(10)));
    let server = server.with(Guard::with_limits(Stop::default(), limits));
    let server = Hosted::host(server, Stop::default(), Between::default()).await;
    for protocol in BOTH {
        let client = RawClient::open(&server.url, protocol).await;
        let mut calls = vec![client.work(1, 3000).await, client.work(2, 3000).await];
        for call in &mut calls {
            call.progress(1).await;
        }
        let refused = client.work(3, 1).await.answer().await;
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains("try again in 1 s"), "{refused}");
        drop(calls);
        if protocol == V2025 {
            client.cancel(1).await;
            client.cancel(2).await;
        }
        server_has_room(&client).await;
    }
}

/// Calls until a call is served: the two before it have ended, and given back their places.
async fn server_has_room(client: &RawClient) {
    in_time("room for a call", async {
        for id in 100.. {
            let answer = client.work(id, 1).await.answer().await;
            if answer.get("result").is_some() {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_has_no_format_that_only_rust_knows() {
    /// A server with each kind of number.
    #[derive(Clone)]
    struct Numbers;

    #[derive(serde::Deserialize, rmcp::schemars::JsonSchema)]
    #[schemars(crate = "rmcp::schemars")]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Args {
        small: u32,
        large: Option<i64>,
        list: Vec<f64>,
    }

    #[rmcp::tool_router(server_handler)]
    impl Numbers {
        #[rmcp::tool]
        async fn count(
            &self,
            _args: rmcp::handler::server::wrapper::Parameters<Args>,
        ) -> rmcp::handler::server::wrapper::Json<Vec<u64>> {
            rmcp::handler::server::wrapper::Json(Vec::new())
        }
    }

    assert!(json!(Numbers.get_tool("count")).to_string().contains("uint32"), "the bait is gone");
    let server = Hosted::start(Numbers).await;
    for protocol in BOTH {
        let client = RawClient::open(&server.url, protocol).await;
        let list = client.ask("tools/list", json!({})).await;
        assert!(list["result"]["tools"][0]["inputSchema"]["properties"]["small"].is_object());
        assert!(!list.to_string().contains("\"format\""), "{list}");
    }
}

//! The page over real HTTP: what it shows, what its button does, and whom it refuses.

use std::collections::BTreeMap;
use std::time::Duration;

use course::lesson::Protocol;
use futures::stream::{BoxStream, StreamExt};
use page::{STOP_HEADER, VIEWERS};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use shared::calls::{CallList, CallRecord, State};
use sse_stream::{Sse, SseStream};
use testing::raw::{BOTH, in_time};
use tokio::time::sleep;
use wrong::Wrong;

use crate::paged::Paged;

impl Paged {
    fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("http://{}{path}", self.address))
    }

    /// What the page's button sends, without the header.
    fn stop_call(&self, number: impl std::fmt::Display) -> RequestBuilder {
        self.http.post(format!("http://{}/calls/{number}/stop", self.address))
    }

    async fn watch(&self) -> Viewer {
        let response = in_time("the stream", self.get("/calls").send()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let events = SseStream::from_bytes_stream(response.bytes_stream());
        Viewer(events.map(|event| event.expect("a stream that ends, and is not cut")).boxed())
    }
}

struct Viewer(BoxStream<'static, Sse>);

impl Viewer {
    /// The next event's name, and its calls; none at the end.
    async fn next(&mut self) -> Option<(String, Vec<CallRecord>)> {
        let event = in_time("an event", self.0.next()).await?;
        let list: CallList = serde_json::from_str(&event.data?).unwrap();
        Some((event.event?, list.calls))
    }

    /// Reads until one of the calls that it is told of is like that.
    async fn until(&mut self, what: impl Fn(&CallRecord) -> bool) -> CallRecord {
        loop {
            let (_, calls) = self.next().await.expect("an event, not the end");
            if let Some(call) = calls.into_iter().find(&what) {
                return call;
            }
        }
    }
}

async fn answer(request: RequestBuilder) -> (StatusCode, String) {
    let response = in_time("an answer", request.send()).await.unwrap();
    (response.status(), response.text().await.unwrap())
}

#[tokio::test]
async fn all_calls_first_and_then_what_changes() {
    for protocol in BOTH {
        let server = Paged::start(100).await;
        let client = server.client(protocol).await;
        let mut before = client.work("before", 3600).await;
        before.progress(2).await;

        let mut viewer = server.watch().await;
        let (name, calls) = viewer.next().await.unwrap();
        assert_eq!((&*name, calls.len()), ("snapshot", 1));
        assert_eq!((calls[0].state, &*calls[0].tool), (State::Running, "process_large_file"));

        let _after = client.work("after", 2).await;
        let enough = calls[0].steps_done + 5;
        let mut seen = BTreeMap::from([(1, calls[0].clone())]);
        while seen[&1].steps_done < enough
            || seen.get(&2).is_none_or(|call| call.state == State::Running)
        {
            let (name, changed) = viewer.next().await.unwrap();
            assert_eq!(name, "changes");
            for call in changed {
                let steps = call.steps_done;
                let before = seen.insert(call.call, call);
                assert!(before.is_none_or(|before| before.steps_done <= steps), "steps go back");
            }
        }
        assert_eq!((seen[&1].state, seen[&2].steps_done), (State::Running, 2));
    }
}

#[tokio::test]
async fn the_stop_button_stops_one_call() {
    for protocol in BOTH {
        let server = Paged::start(80).await;
        let client = server.client(protocol).await;
        let (one, two) = (client.work("one", 3600).await, client.work("two", 5).await);
        let mut viewer = server.watch().await;
        viewer.until(|call| call.call == 1 && call.steps_done > 0).await;

        let (status, said) = answer(server.stop_call(1).header(STOP_HEADER, "1")).await;
        assert_eq!((status, &*said), (StatusCode::ACCEPTED, "call 1 is told to stop\n"));
        let stopped = viewer.until(|call| call.call == 1 && call.state != State::Running).await;
        assert_eq!(stopped.state, State::Cancelled);
        assert_eq!(serde_json::to_value(stopped.cause).unwrap(), "operator");
        assert!(one.answer().await.get("result").is_none(), "its caller gets no result");
        testing::raw::assert_finished(&two.answer().await);

        let (status, said) = answer(server.stop_call(1).header(STOP_HEADER, "1")).await;
        assert_eq!(status, StatusCode::CONFLICT);
        assert_eq!(said, "call 1 has ended before: cancelled\n");
    }
}

#[tokio::test]
async fn a_tool_that_does_not_look_runs_on() {
    let server = Paged::start_wrong(Some(Wrong::Deaf), 30).await;
    let client = server.client(Protocol::V2025).await;
    let _call = client.work("mine", 20).await;
    let mut viewer = server.watch().await;
    viewer.until(|call| call.steps_done > 0).await;
    let (status, _) = answer(server.stop_call(1).header(STOP_HEADER, "1")).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let ended = viewer.until(|call| call.state != State::Running).await;
    assert_eq!((ended.state, ended.steps_done), (State::Finished, 20));
}

#[tokio::test]
async fn a_call_that_is_not_there() {
    let server = Paged::start(10).await;
    for number in ["7", "0", "-1", "seven", "18446744073709551616", "%3Cb%3E"] {
        let (status, said) = answer(server.stop_call(number).header(STOP_HEADER, "1")).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{number}");
        assert!(said.starts_with("no call ") && said.contains("GET /calls"), "{said}");
    }
}

/// Each request has one thing wrong with it. The call that they are after runs on.
#[tokio::test]
async fn what_comes_from_elsewhere_is_refused() {
    let server = Paged::start(20).await;
    let client = server.client(Protocol::V2026).await;
    let _call = client.work("mine", 3600).await;
    let mut viewer = server.watch().await;
    viewer.until(|call| call.state == State::Running).await;

    let foreign = |name: &str, value: &str| {
        [server.get("/"), server.get("/calls"), server.stop_call(1).header(STOP_HEADER, "1")]
            .map(|request| request.header(name, value))
    };
    let port = server.address.rsplit(':').next().unwrap();
    let mut refused = Vec::new();
    for host in [&format!("evil.example:{port}"), "evil.example", "localhost.evil.example", ""] {
        refused.extend(foreign("host", host));
    }
    for origin in [
        "http://evil.example",
        // A server of somebody else's on this machine.
        "http://127.0.0.1:1",
        &format!("https://{}", server.address),
        // A frame in a sandbox, or a file.
        "null",
        "",
    ] {
        refused.extend(foreign("origin", origin));
    }
    // A form can send this, without an `Origin` even; but no header of ours.
    let form = ("content-type", "application/x-www-form-urlencoded");
    refused.push(server.stop_call(1).header(form.0, form.1).body("x-csrf-protection=1"));
    for request in refused {
        let sent = format!("{request:?}");
        let (status, said) = answer(request).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{sent}: {said}");
        assert!(said.ends_with('\n') && !said.contains("evil"), "{said}");
    }
    // What a browser asks before a foreign script may send our header gets no leave.
    let url = format!("http://{}/calls/1/stop", server.address);
    let asks = server.http.request(reqwest::Method::OPTIONS, url);
    let asks = asks.header("origin", "http://evil.example");
    let response = asks.header("access-control-request-method", "POST").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(!response.headers().contains_key("access-control-allow-origin"));

    // The same request with nothing wrong finds the call still running.
    let origin = format!("http://{}", server.address);
    let right = server.stop_call(1).header(STOP_HEADER, "1").header("origin", origin);
    assert_eq!(answer(right).await.0, StatusCode::ACCEPTED);
    viewer.until(|call| call.state == State::Cancelled).await;
}

#[tokio::test]
async fn every_name_of_this_machine_will_do() {
    let server = Paged::start(10).await;
    let port = server.address.rsplit(':').next().unwrap();
    for name in ["localhost", "127.0.0.1", "[::1]"] {
        let host = format!("{name}:{port}");
        let request = server.get("/").header("host", &host);
        let (status, _) = answer(request.header("origin", format!("http://{host}"))).await;
        assert_eq!(status, StatusCode::OK, "{name}");
    }
}

/// The page is one file: it loads nothing, may not be framed, and makes no HTML of a text.
#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let server = Paged::start(10).await;
    let response = server.get("/").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    let policy = header("content-security-policy");
    for part in ["default-src 'none'", "frame-ancestors 'none'", "require-trusted-types-for"] {
        assert!(policy.contains(part), "{policy}");
    }
    let page = response.text().await.unwrap();
    for word in ["src=", "@import", "url(", "innerHTML", "insertAdjacentHTML", "document.write"] {
        assert!(!page.contains(word), "{word}");
    }
}

#[tokio::test]
async fn there_is_room_for_so_many_viewers() {
    let server = Paged::start(10).await;
    let mut viewers = Vec::new();
    for _ in 0..VIEWERS {
        viewers.push(server.watch().await);
    }
    let (status, said) = answer(server.get("/calls")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(said.contains("close one"), "{said}");
    viewers.pop();
    in_time("room", async {
        while !server.get("/calls").send().await.unwrap().status().is_success() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// The last event tells how the calls ended that ran when the server was stopped.
#[tokio::test]
async fn a_server_that_stops_says_how_its_calls_ended() {
    let server = Paged::start(50).await;
    let client = server.client(Protocol::V2025).await;
    let call = client.work("mine", 3600).await;
    let mut viewer = server.watch().await;
    viewer.until(|call| call.steps_done > 0).await;

    server.stop.now();
    let mut last = Vec::new();
    while let Some((_, calls)) = viewer.next().await {
        last = calls;
    }
    assert_eq!(last[0].state, State::Cancelled);
    assert_eq!(serde_json::to_value(last[0].cause).unwrap(), "shutdown");
    assert!(call.answer().await["error"].is_object());
    in_time("the end of the server", server.hosting).await.unwrap().unwrap();
}

/// Ids and reasons come from clients. They travel as JSON, so a line break ends no event.
#[tokio::test]
async fn what_clients_write_stays_in_its_place() {
    let server = Paged::start(50).await;
    let client = server.client(Protocol::V2025).await;
    let id = "</script><img src=x onerror=alert(1)>\n\nevent: snapshot\ndata: {}";
    let _call = client.work(id, 3600).await;
    let mut viewer = server.watch().await;
    let shown = viewer.until(|call| call.state == State::Running).await;
    let shown: Value = serde_json::to_value(shown.request_id).unwrap();
    assert_eq!(shown, id.replace('\n', ""));
}

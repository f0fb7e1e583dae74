//! Many calls at once, and each is counted.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use bridge::relay::{End, relay};
use bridge::translate::Translate;
use bridge::upstream::{Upstream, http};
use course::lesson::Protocol;
use futures::future::{BoxFuture, join_all};
use hosting::between::{Between, Tap};
use hosting::cancel::CancelAware;
use hosting::layer::Server;
use rmcp::model::{
    CancelledNotificationParam, ClientCapabilities, ClientJsonRpcMessage, ClientNotification,
    JsonRpcMessage, ProtocolVersion, ServerJsonRpcMessage,
};
use rmcp::service::{PeerRequestOptions, RequestHandle};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::{RoleClient, ServiceError};
use serde_json::{Value, json};
use shared::calls::{CallRecord, Calls, State};
use shared::client::{Client, tool_call};
use shared::server::FileServer;
use shared::stop::Stop;
use testing::hosted::{Hosted, common_server, setup};
use testing::process::Process;
use testing::raw::{
    CANCELLED, RawClient, in_time, initialize, notification, request, steps,
    tool_call as tool_call_by_hand, within,
};
use tokio::io::AsyncWriteExt;
use tokio::process::{ChildStdin, Command};
use tokio::sync::Semaphore;
use tokio::time::sleep;

const PROGRAM: &str = env!("CARGO_BIN_EXE_mcp-bridge");
/// Steps of a second: a call makes no news but its first while it waits for its cancel.
const TICK: u64 = 1000;
const LONG: Duration = Duration::from_secs(30);

/// The bridge as a program: stdio in front of this URL. A relay speaks what the host speaks.
fn bridge_to(options: &[&str], protocol: Protocol, url: &str) -> std::process::Command {
    let mut program = std::process::Command::new(PROGRAM);
    program.args(options).arg(url);
    if options.is_empty() {
        program.args(["--protocol", &protocol.to_string()]);
    }
    program
}

/// A host whose bridge is a process: stdio in front of this URL.
async fn host(options: &[&str], protocol: Protocol, url: &str) -> Client {
    let program = bridge_to(options, protocol, url).into();
    let client = Client::child_as(ClientCapabilities::default(), program, protocol.version());
    client.await.unwrap()
}

/// A bridge on HTTP, in front of a stdio server that is a process.
async fn in_front_of_stdio(protocol: Protocol) -> Hosted {
    let mut program = Command::new(PROGRAM);
    program.args(["--tick", "1s", "serve", "--transport", "stdio"]);
    let child = bridge::behind::child(program).unwrap();
    let upstream = Upstream::connect(child, Some(protocol.version())).await.unwrap();
    Hosted::start(Translate::new(Arc::new(upstream))).await
}

/// A server over HTTP, and how many cancels and ends of sessions have reached it.
async fn counting() -> (Hosted, Calls, Arc<Counts>) {
    let own = setup(TICK);
    let (calls, stop) = (own.calls.clone(), own.stop.clone());
    let counts = Arc::<Counts>::default();
    let counted = Arc::clone(&counts);
    let between = Between::default().connections(move || Counter(Arc::clone(&counted)));
    (Hosted::host(Server::new(FileServer::new(own)), stop, between).await, calls, counts)
}

#[derive(Default)]
struct Counts {
    cancels: AtomicUsize,
    ends: AtomicUsize,
}

struct Counter(Arc<Counts>);

impl Tap for Counter {
    fn received(&mut self, message: ClientJsonRpcMessage) -> ClientJsonRpcMessage {
        if let JsonRpcMessage::Notification(it) = &message
            && let ClientNotification::CancelledNotification(_) = &it.notification
        {
            self.0.cancels.fetch_add(1, Ordering::Relaxed);
        }
        message
    }

    fn before(&mut self, _: &ServerJsonRpcMessage) -> Vec<ServerJsonRpcMessage> {
        Vec::new()
    }

    fn ended(&mut self) -> BoxFuture<'static, ()> {
        self.0.ends.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(()))
    }
}

async fn start(client: &Client, calls: usize) -> Vec<RequestHandle<RoleClient>> {
    let one = || {
        let work = json!({ "filename": "part_0.csv", "processing_time": 3600 });
        let call = tool_call("process_large_file", work);
        client.send_cancellable_request(call, PeerRequestOptions::no_options())
    };
    let started = join_all((0..calls).map(|_| one())).await;
    started.into_iter().map(Result::unwrap).collect()
}

fn count(calls: &[CallRecord], state: State) -> usize {
    calls.iter().filter(|call| call.state == state).count()
}

/// Asks the server until it runs so many calls.
async fn until_running(client: &Client, running: usize) -> Vec<CallRecord> {
    within(LONG, "the number of running calls", async {
        loop {
            let calls = client.list_calls().await.unwrap();
            if count(&calls, State::Running) == running {
                return calls;
            }
            // Each look is an answer of 200 rows.
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await
}

async fn cancel_all(client: &Client, handles: Vec<RequestHandle<RoleClient>>) {
    for handle in handles {
        let why = Some("a test".to_owned());
        let cancel = CancelledNotificationParam::new(Some(handle.id.clone()), why);
        client.notify_cancelled(cancel).await.unwrap();
    }
}

/// 200 calls, 200 cancels, and 200 that have stopped.
async fn two_hundred(client: &Client) {
    let handles = start(client, 200).await;
    until_running(client, 200).await;
    cancel_all(client, handles).await;
    let calls = until_running(client, 0).await;
    assert_eq!(count(&calls, State::Cancelled), 200);
    assert!(calls.iter().all(|call| call.steps_done < call.steps_total));
}

async fn stdio_to_http(options: &[&str], protocol: Protocol) {
    let (server, _, counts) = counting().await;
    let client = host(options, protocol, &server.url).await;
    two_hundred(&client).await;
    // One cancel for each call, and no second. (On 2026-07-28 there is no message.)
    let sent = if protocol == Protocol::V2025 { 200 } else { 0 };
    assert_eq!(counts.cancels.load(Ordering::Relaxed), sent);
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn translate_stdio_to_http_2025() {
    stdio_to_http(&[], Protocol::V2025).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn translate_stdio_to_http_2026() {
    stdio_to_http(&[], Protocol::V2026).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relay_stdio_to_http_2025() {
    stdio_to_http(&["--relay"], Protocol::V2025).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relay_stdio_to_http_2026() {
    stdio_to_http(&["--relay"], Protocol::V2026).await;
}

async fn http_to_stdio(host: Protocol, server: Protocol) {
    let bridge = in_front_of_stdio(server).await;
    let client = Client::http(&bridge.url, host.version()).await.unwrap();
    two_hundred(&client).await;
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn translate_http_2025_to_stdio() {
    http_to_stdio(Protocol::V2025, Protocol::V2025).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn translate_http_2026_to_stdio() {
    http_to_stdio(Protocol::V2026, Protocol::V2026).await;
}

/// The two sides speak different revisions: a closed stream becomes a notification, and the other
/// way round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn translate_between_revisions() {
    http_to_stdio(Protocol::V2026, Protocol::V2025).await;
    let server = common_server(TICK).await;
    let mut program = Command::new(PROGRAM);
    program.args(["--protocol", "2026-07-28", &server.url]);
    let host = ProtocolVersion::V_2025_11_25;
    let client = Client::child_as(ClientCapabilities::default(), program, host).await.unwrap();
    two_hundred(&client).await;
    client.close().await.unwrap();
}

/// Two hosts use the same ids. One cancels all its calls; the other's run on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_with_equal_ids_do_not_meet() {
    let bridge = in_front_of_stdio(Protocol::V2025).await;
    let clerk = Client::http(&bridge.url, Protocol::V2025.version()).await.unwrap();
    let hosts = [
        RawClient::open(&bridge.url, Protocol::V2025).await,
        RawClient::open(&bridge.url, Protocol::V2025).await,
    ];
    let mut streams = Vec::new();
    for id in 1..=100 {
        for host in &hosts {
            streams.push(host.work(id, 3600).await);
        }
    }
    until_running(&clerk, 200).await;
    for id in 1..=100 {
        hosts[0].cancel(id).await;
    }
    let calls = until_running(&clerk, 100).await;
    assert_eq!(count(&calls, State::Cancelled), 100);
    // Whose are they? The first host's streams have ended, the second's have not.
    let mut streams = streams.into_iter();
    while let (Some(first), Some(_second)) = (streams.next(), streams.next()) {
        assert_eq!(first.answer().await["error"]["code"], -32800);
    }
    for id in 1..=100 {
        hosts[1].cancel(id).await;
    }
    let calls = until_running(&clerk, 0).await;
    assert_eq!(count(&calls, State::Cancelled), 200);
}

/// What the bridge remembers of a call ends with the call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_many_calls() {
    let (server, calls, _) = counting().await;
    let upstream = Upstream::connect(http(&server.url), Some(Protocol::V2025.version()));
    let upstream = Arc::new(upstream.await.unwrap());
    let translate = Server::new(Translate::new(Arc::clone(&upstream)));
    let pipe = hosting::pipe(translate, &Between::default(), Stop::default());
    let host = Client::pipe_as(ClientCapabilities::default(), pipe, Protocol::V2025.version());
    let host = host.await.unwrap();
    for _ in testing::soak(10) {
        let handles = start(&host, 200).await;
        until(&calls, "200 running calls", |calls| count(calls, State::Running) == 200).await;
        assert!(upstream.open().entries() >= 400);
        cancel_all(&host, handles).await;
        until(&calls, "no running call", |calls| count(calls, State::Running) == 0).await;
    }
    let empty = async {
        while upstream.open().entries() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    in_time("empty tables", empty).await;
}

/// The relay's list holds open calls only, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_many_relayed_calls() {
    let (server, calls, _) = counting().await;
    let (near, far) = tokio::io::duplex(64 << 10);
    let (input, output) = tokio::io::split(far);
    let host = CancelAware::silent(AsyncRwTransport::new_server(input, output));
    let relaying = tokio::spawn(relay(host, http(&server.url), Stop::default()));
    let host = Client::pipe_as(ClientCapabilities::default(), near, Protocol::V2025.version());
    let host = host.await.unwrap();
    for _ in testing::soak(10) {
        let handles = start(&host, 200).await;
        until(&calls, "200 running calls", |calls| count(calls, State::Running) == 200).await;
        cancel_all(&host, handles).await;
        until(&calls, "no running call", |calls| count(calls, State::Running) == 0).await;
    }
    host.close().await.unwrap();
    assert_eq!(in_time("the end of the relay", relaying).await.unwrap(), End::Host(0));
}

/// The server is killed. Each of the 20 calls ends with an error, through either bridge.
async fn killed(options: &[&str], protocol: Protocol) {
    let server = Process::http(PROGRAM, "1s");
    let client = host(options, protocol, &server.url).await;
    let handles = start(&client, 20).await;
    until_running(&client, 20).await;
    server.signal("KILL");
    let answers = join_all(handles.into_iter().map(RequestHandle::await_response));
    let answers = within(LONG, "20 errors", answers).await;
    let errors = answers.iter().filter(|it| matches!(it, Err(ServiceError::McpError(_)))).count();
    assert_eq!(errors, 20, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_twenty_errors_through_translate() {
    killed(&[], Protocol::V2025).await;
    killed(&[], Protocol::V2026).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_twenty_errors_through_relay() {
    killed(&["--relay"], Protocol::V2025).await;
    killed(&["--relay"], Protocol::V2026).await;
}

/// What a host says first.
fn hello(protocol: Protocol) -> Vec<Value> {
    match protocol {
        Protocol::V2025 => {
            vec![initialize(), notification("notifications/initialized", &json!({}))]
        }
        Protocol::V2026 => vec![request(protocol, &json!(0), "server/discover", json!({}))],
    }
}

fn call(protocol: Protocol, id: u32) -> Value {
    tool_call_by_hand(protocol, &json!(id), "process_large_file", &steps(3600))
}

/// A host that writes the protocol by hand, and its bridge.
struct RawHost {
    protocol: Protocol,
    bridge: tokio::process::Child,
    input: ChildStdin,
}

impl RawHost {
    async fn new(options: &[&str], protocol: Protocol, url: &str) -> Self {
        let mut program: Command = bridge_to(options, protocol, url).into();
        program.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
        let mut bridge = program.spawn().unwrap();
        let input = bridge.stdin.take().unwrap();
        let mut host = Self { protocol, bridge, input };
        host.say(&hello(protocol)).await;
        host
    }

    async fn say(&mut self, messages: &[Value]) {
        for message in messages {
            self.input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
        }
    }

    fn call(&self, id: u32) -> Value {
        call(self.protocol, id)
    }

    /// Closes the bridge's standard input. It must end well.
    async fn hang_up(mut self) {
        drop(self.input);
        let status = within(LONG, "the end of the bridge", self.bridge.wait()).await.unwrap();
        assert_eq!(status.code(), Some(0));
    }
}

/// Waits until the server's list is like this.
async fn until(calls: &Calls, what: &str, is: impl Fn(&[CallRecord]) -> bool) {
    let deadline = tokio::time::Instant::now() + LONG;
    loop {
        let list = calls.list().calls;
        if is(&list) {
            return;
        }
        let number = |state| count(&list, state);
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what}: {} running, {} cancelled, {} failed",
            number(State::Running),
            number(State::Cancelled),
            number(State::Failed)
        );
        sleep(Duration::from_millis(10)).await;
    }
}

const WAYS: [(&[&str], Protocol); 4] = [
    (&[], Protocol::V2025),
    (&[], Protocol::V2026),
    (&["--relay"], Protocol::V2025),
    (&["--relay"], Protocol::V2026),
];

/// The host is gone with 20 calls at work: 20 cancels reach the server, and the bridge ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_hangs_up_takes_its_calls_along() {
    join_all(WAYS.map(async |(options, protocol)| {
        let (server, calls, counts) = counting().await;
        let mut host = RawHost::new(options, protocol, &server.url).await;
        for id in 1..=20 {
            let call = host.call(id);
            host.say(&[call]).await;
        }
        until(&calls, "20 running calls", |calls| count(calls, State::Running) == 20).await;
        host.hang_up().await;
        until(&calls, "20 cancelled calls", |calls| count(calls, State::Cancelled) == 20).await;
        let sent = if protocol == Protocol::V2025 { 20 } else { 0 };
        assert_eq!(counts.cancels.load(Ordering::Relaxed), sent, "{options:?} {protocol}");
    }))
    .await;
}

/// The bridge is told to stop with 20 calls at work: 20 cancels reach the server, 20 answers the
/// host, and the session ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_that_is_stopped_takes_its_calls_along() {
    for (options, protocol) in WAYS {
        let (server, calls, counts) = counting().await;
        let mut bridge = Process::start(bridge_to(options, protocol, &server.url));
        for message in hello(protocol).into_iter().chain((1..=20).map(|id| call(protocol, id))) {
            bridge.say(&message.to_string());
        }
        until(&calls, "20 running calls", |calls| count(calls, State::Running) == 20).await;
        bridge.signal("TERM");
        until(&calls, "20 cancelled calls", |calls| count(calls, State::Cancelled) == 20).await;
        assert_eq!(bridge.ends_within(LONG).code(), Some(0), "{options:?} {protocol}");
        let said = bridge.rest();
        let told = said.iter().filter(|line| line.contains("is shutting down")).count();
        assert_eq!(told, 20, "{options:?} {protocol}: {said:?}");
        let sent = if protocol == Protocol::V2025 { 20 } else { 0 };
        assert_eq!(counts.cancels.load(Ordering::Relaxed), sent, "{options:?} {protocol}");
        if protocol == Protocol::V2025 {
            ended(&counts).await;
        }
    }
}

/// The host is gone before it spoke: the bridge has failed, and its session ends all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_says_nothing_leaves_no_session() {
    let (server, _, counts) = counting().await;
    let mut program = Command::new(PROGRAM);
    program.args(["--protocol", "2025-11-25", &server.url]).stdin(Stdio::null());
    program.stderr(Stdio::null()).kill_on_drop(true);
    let status = within(LONG, "the end of the bridge", program.status()).await.unwrap();
    assert_eq!(status.code(), Some(1));
    ended(&counts).await;
}

/// Waits for the end of a session.
async fn ended(counts: &Counts) {
    in_time("the end of the session", async {
        while counts.ends.load(Ordering::Relaxed) == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// How many calls have come to [`slow_to_read`].
static CAME: AtomicUsize = AtomicUsize::new(0);

/// Routes of a server that is slow to read calls, and quick to read cancels. It reads a call also
/// when the connection that brought it is gone.
fn slow_to_read(routes: Router) -> Router {
    routes.layer(from_fn(async |request: Request, next: Next| {
        let (request, text) = heard(request).await;
        let read = tokio::spawn(async move {
            if text.contains("tools/call") {
                CAME.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(300)).await;
            }
            next.run(request).await
        });
        read.await.unwrap()
    }))
}

/// The request, and what it says.
async fn heard(request: Request) -> (Request, String) {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let text = String::from_utf8_lossy(&body).into_owned();
    (Request::from_parts(head, Body::from(body)), text)
}

/// A host whose bridge is a process, in front of a server with such routes, and the server's calls.
async fn behind(options: &[&str], routes: fn(Router) -> Router) -> (Hosted, Calls, RawHost) {
    let own = setup(TICK);
    let (calls, stop) = (own.calls.clone(), own.stop.clone());
    let between = Between::default().around_routes(routes);
    let server = Hosted::host(Server::new(FileServer::new(own)), stop, between).await;
    let host = RawHost::new(options, Protocol::V2025, &server.url).await;
    (server, calls, host)
}

/// On HTTP 2025-11-25 a call and its cancel take different connections, and this server would
/// read the cancel first. A cancel that comes first names nothing: the call would run on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cancel_overtakes_its_call() {
    for options in [&[][..], &["--relay"]] {
        let (_server, calls, mut host) = behind(options, slow_to_read).await;
        let before = CAME.load(Ordering::Relaxed);
        let work: Vec<_> = (1..=5).map(|id| host.call(id)).collect();
        host.say(&work).await;
        in_time("5 calls", async {
            while CAME.load(Ordering::Relaxed) < before + 5 {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        for id in 1..=5 {
            host.say(&[notification(CANCELLED, &json!({ "requestId": id }))]).await;
        }
        let all = |calls: &[CallRecord]| count(calls, State::Cancelled) == 5;
        until(&calls, &format!("5 cancelled calls {options:?}"), all).await;
        host.hang_up().await;
    }
}

/// What has happened at [`late`]: a call has come, its first cancel was answered, the call begins.
static LATE: [Semaphore; 3] = [const { Semaphore::const_new(0) }; 3];
static LATE_CANCELS: AtomicUsize = AtomicUsize::new(0);

/// Routes of a server that reads a call when its first cancel has been answered, as on a machine
/// that is very busy. A second cancel is read after the call.
fn late(routes: Router) -> Router {
    routes.layer(from_fn(async |request: Request, next: Next| {
        let [came, cancelled, begun] = &LATE;
        let (request, text) = heard(request).await;
        let (call, cancel) = (text.contains("tools/call"), text.contains(CANCELLED));
        let first = cancel && LATE_CANCELS.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        let read = tokio::spawn(async move {
            if call {
                came.add_permits(1);
                cancelled.acquire().await.unwrap().forget();
            } else if cancel && !first {
                begun.acquire().await.unwrap().forget();
            }
            let response = next.run(request).await;
            if call {
                begun.add_permits(1);
            } else if first {
                cancelled.add_permits(1);
            }
            response
        });
        read.await.unwrap()
    }))
}

/// A server may hold back its response until it answers, so a cancel does not wait for ever. If it
/// was too early, its call must not run on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_that_came_first_is_repeated() {
    for options in [&[][..], &["--relay"]] {
        let (_server, calls, mut host) = behind(options, late).await;
        let call = host.call(1);
        host.say(&[call]).await;
        in_time("the call", LATE[0].acquire()).await.unwrap().forget();
        host.say(&[notification(CANCELLED, &json!({ "requestId": 1 }))]).await;
        let stopped = |calls: &[CallRecord]| count(calls, State::Cancelled) == 1;
        until(&calls, &format!("a cancelled call {options:?}"), stopped).await;
        host.hang_up().await;
    }
}

/// The host writes each of 200 calls and its cancel in one go. Whether a call reaches the server
/// is open; that it stays there is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_at_once_leaves_nothing_behind() {
    join_all(WAYS.map(async |(options, protocol)| {
        let (server, calls, _) = counting().await;
        let mut host = RawHost::new(options, protocol, &server.url).await;
        for id in 1..=200 {
            let pair = [host.call(id), notification(CANCELLED, &json!({ "requestId": id }))];
            host.say(&pair).await;
        }
        // Later calls run alone, one after the other: no earlier one is left behind.
        for id in 201..=203 {
            let call = host.call(id);
            host.say(&[call]).await;
            let [one, none] =
                ["one", "no"].map(|n| format!("{n} running call, {options:?} {protocol}"));
            until(&calls, &one, |calls| count(calls, State::Running) == 1).await;
            host.say(&[notification(CANCELLED, &json!({ "requestId": id }))]).await;
            until(&calls, &none, |calls| count(calls, State::Running) == 0).await;
        }
        host.hang_up().await;
    }))
    .await;
}

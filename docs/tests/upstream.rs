//! The smallest reproductions of what `docs/src/upstream.md` says of rmcp. A test that fails here means
//! that rmcp has changed, and the page with it.

use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ErrorData, NumberOrString,
    ProgressNotificationParam, ProgressToken, TaskStatus,
};
use rmcp::service::RequestContext;
use rmcp::task_manager::{TaskManager, TaskOptions};
use rmcp::{ClientHandler, RoleClient, RoleServer, ServerHandler, ServiceExt};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Its tool waits to be cancelled, panics, or gives up its progress. It says which call has started,
/// and which has stopped.
struct Waits {
    calls: AtomicU32,
    news: UnboundedSender<String>,
}

impl ServerHandler for Waits {
    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        self.news.send(format!("call {number} starts")).unwrap();
        assert!(call.name != "panics", "a bug in the tool");
        if call.name == "hurries" {
            let progress = ProgressNotificationParam::new(
                ProgressToken(NumberOrString::Number(number.into())),
                1.0,
            );
            let _ = futures::poll!(pin!(ctx.peer.notify_progress(progress)));
            return Ok(CallToolResult::default().into());
        }
        ctx.ct.cancelled().await;
        self.news.send(format!("call {number} stops")).unwrap();
        Ok(CallToolResult::default().into())
    }
}

/// A client that writes and reads lines, as on stdio.
struct Lines {
    output: tokio::io::Lines<BufReader<ReadHalf<DuplexStream>>>,
    input: WriteHalf<DuplexStream>,
    heard: UnboundedReceiver<String>,
}

impl Lines {
    /// A connection with a server of its own.
    fn open() -> Self {
        let (news, heard) = unbounded_channel();
        let (ours, theirs) = tokio::io::duplex(4096);
        tokio::spawn(async move {
            let server = Waits { calls: AtomicU32::new(0), news };
            if let Ok(server) = server.serve(theirs).await {
                server.waiting().await.unwrap();
            }
        });
        let (output, input) = tokio::io::split(ours);
        Self { output: BufReader::new(output).lines(), input, heard }
    }

    async fn initialized() -> Self {
        let mut lines = Self::open();
        lines
            .say(&json!({ "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "by hand", "version": "0" },
        } }))
            .await;
        lines.read().await.unwrap();
        lines.say(&json!({ "method": "notifications/initialized" })).await;
        lines
    }

    async fn say(&mut self, message: &Value) {
        let mut message = message.clone();
        message["jsonrpc"] = "2.0".into();
        self.input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    async fn call(&mut self, id: u32, tool: &str) {
        let params = json!({ "name": tool, "arguments": {} });
        self.say(&json!({ "id": id, "method": "tools/call", "params": params })).await;
    }

    async fn cancel(&mut self, id: u32, reason: Value) {
        let params = json!({ "requestId": id, "reason": reason });
        self.say(&json!({ "method": "notifications/cancelled", "params": params })).await;
    }

    async fn read(&mut self) -> Option<Value> {
        let line = self.output.next_line().await.unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    async fn hears(&mut self, news: &str) {
        assert_eq!(self.heard.recv().await.unwrap(), news);
    }

    /// A fence: what was said before has been handled. The answer to the ping is the first answer
    /// of all that come, and the tools have nothing new to tell.
    async fn nothing_happened(&mut self, otherwise: &str) {
        self.say(&json!({ "id": 99, "method": "ping" })).await;
        assert_eq!(self.read().await.unwrap()["id"], 99, "{otherwise}");
        let_others_run().await;
        assert!(self.heard.try_recv().is_err(), "{otherwise}");
        assert!(futures::poll!(pin!(self.output.next_line())).is_pending(), "{otherwise}");
    }
}

#[tokio::test]
async fn of_two_calls_with_one_id_only_the_second_can_be_cancelled() {
    let mut client = Lines::initialized().await;
    client.call(7, "waits").await;
    client.hears("call 1 starts").await;
    client.call(7, "waits").await;
    client.hears("call 2 starts").await;
    client.cancel(7, json!("stop")).await;
    client.hears("call 2 stops").await;
    client.cancel(7, json!("stop")).await;
    client.nothing_happened("rmcp cancels the first call, too").await;
}

#[tokio::test]
async fn a_cancel_whose_reason_is_no_text_is_ignored() {
    let mut client = Lines::initialized().await;
    client.call(7, "waits").await;
    client.hears("call 1 starts").await;
    client.cancel(7, json!({ "code": 5 })).await;
    client.nothing_happened("rmcp takes the cancel now").await;
    client.cancel(7, json!("stop")).await;
    client.hears("call 1 stops").await;
}

#[tokio::test]
async fn a_tool_that_panics_never_answers() {
    let mut client = Lines::initialized().await;
    client.call(7, "panics").await;
    client.hears("call 1 starts").await;
    client.nothing_happened("rmcp answers for a tool that has panicked").await;
}

#[tokio::test]
async fn progress_that_a_tool_gave_up_may_follow_its_answer() {
    let mut client = Lines::initialized().await;
    // The order is drawn anew for each call. That 64 calls in a row are in order is no luck.
    for id in 0..64 {
        client.call(id, "hurries").await;
        let first = client.read().await.unwrap();
        let second = client.read().await.unwrap();
        if first["id"] == id && second["method"] == "notifications/progress" {
            return;
        }
    }
    panic!("rmcp keeps the two messages in order");
}

#[tokio::test]
async fn a_cancel_before_initialize_ends_the_connection() {
    let mut client = Lines::open();
    client.cancel(7, json!("stop")).await;
    assert_eq!(client.read().await, None);
}

/// A client that takes its time to answer.
struct Slow(UnboundedSender<&'static str>);

#[expect(deprecated, reason = "each typed question of a server goes the same way")]
impl ClientHandler for Slow {
    async fn list_roots(
        &self,
        ctx: RequestContext<RoleClient>,
    ) -> Result<rmcp::model::ListRootsResult, ErrorData> {
        self.0.send("asked").unwrap();
        ctx.ct.cancelled().await;
        self.0.send("cancelled").unwrap();
        Ok(rmcp::model::ListRootsResult::default())
    }
}

struct Silent;
impl ServerHandler for Silent {}

#[tokio::test]
#[expect(deprecated, reason = "each typed question of a server goes the same way")]
async fn a_server_that_drops_its_question_tells_nobody() {
    let (news, mut heard) = unbounded_channel();
    let (ours, theirs) = tokio::io::duplex(4096);
    let (server, client) = tokio::join!(Silent.serve(ours), Slow(news).serve(theirs));
    let (server, client) = (server.unwrap(), client.unwrap());
    tokio::select! {
        answer = server.peer().list_roots() => unreachable!("{answer:?}"),
        asked = heard.recv() => assert_eq!(asked, Some("asked")),
    }
    // A fence: the server has sent all it had to send before it answers this.
    client.peer().list_tools(None).await.unwrap();
    let_others_run().await;
    assert!(heard.try_recv().is_err(), "rmcp tells the client now");
}

/// A worker of tokio runs the newest task first. With one worker the order is no luck.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_is_dropped_at_once_is_cancelled_before_it_is_sent() {
    let (ours, theirs) = tokio::io::duplex(4096);
    let (input, mut output) = tokio::io::split(theirs);
    let mut input = BufReader::new(input).lines();
    let server = async {
        let hello = input.next_line().await.unwrap().unwrap();
        let hello: Value = serde_json::from_str(&hello).unwrap();
        let answer = json!({ "jsonrpc": "2.0", "id": hello["id"], "result": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "serverInfo": { "name": "by hand", "version": "0" },
        } });
        output.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
        input.next_line().await.unwrap();
    };
    let (client, ()) = tokio::join!(().serve(ours), server);
    let client = client.unwrap();
    let peer = client.peer().clone();
    let dropped = tokio::spawn(async move {
        let call = peer.call_tool(CallToolRequestParams::new("any"));
        assert!(futures::poll!(pin!(call)).is_pending());
    });
    dropped.await.unwrap();
    for method in ["notifications/cancelled", "tools/call"] {
        let line = input.next_line().await.unwrap().unwrap();
        assert!(line.contains(method), "rmcp keeps the two in order: {line}");
    }
}

/// Everything here runs on one thread: whatever can go on has gone on after this.
async fn let_others_run() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

/// Says that its future is gone.
struct Gone(UnboundedSender<()>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.send(()).unwrap();
    }
}

#[tokio::test]
async fn a_task_that_panics_stays_at_work() {
    let (gone, mut ended) = unbounded_channel();
    let manager = TaskManager::new();
    let gone = Gone(gone);
    let task = manager.spawn(TaskOptions::default(), |_| {
        Box::pin(async move {
            let _gone = gone;
            panic!("a bug in the tool")
        })
    });
    ended.recv().await.unwrap();
    let_others_run().await;
    let status = manager.get_task(&task.task_id).unwrap().status();
    assert_eq!(status, TaskStatus::Working);
}

#[tokio::test]
async fn a_task_over_its_time_is_aborted_when_somebody_asks() {
    let (gone, mut ended) = unbounded_channel();
    let manager = TaskManager::new();
    let gone = Gone(gone);
    let task = manager.spawn(TaskOptions::new().with_ttl_ms(1), |ctx| {
        Box::pin(async move {
            let _gone = gone;
            // It would clean up if it were told. It is aborted instead.
            ctx.cancelled().await;
            pending().await
        })
    });
    // Nothing happens by itself: the task is over its time, and at work.
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    assert!(ended.try_recv().is_err());
    let status = manager.get_task(&task.task_id).map(|task| task.status());
    assert_eq!(status.unwrap(), TaskStatus::Failed);
    ended.recv().await.unwrap();
}

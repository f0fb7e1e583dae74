//! A server to practise on, written without an SDK, so that every behaviour can be wrong.
//!
//! With no flaw it is healthy, on stdio and HTTP, in both revisions.

mod calls;
mod flaw;
mod http;
mod tasks;

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::wire::Revision;
use calls::{Call, Outlet, Over};
use flaw::Flaw;

/// What `practice` is told.
#[derive(Debug, Clone, Args)]
pub struct PracticeArgs {
    /// Serve HTTP here instead of stdio; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Be wrong in this way
    #[arg(long, value_name = "FLAW")]
    wrong: Option<Flaw>,
    /// Milliseconds of one step of work
    #[arg(long, default_value_t = 50)]
    step: u64,
    /// What tells about running calls
    #[arg(long, default_value = "status")]
    tells: Tells,
    /// Answer tool calls with one JSON body instead of a stream (HTTP 2026-07-28)
    #[arg(long)]
    one_piece: bool,
    /// Tasks wait for their user's input
    #[arg(long)]
    parks: bool,
    /// The first call starts a process that stays, as a browser does
    #[arg(long)]
    helped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tells {
    /// The tool `list_calls`
    Status,
    /// The tool `cancel_probe`
    Probe,
    /// No tool
    Nothing,
}

#[derive(Debug)]
struct Practice {
    args: PracticeArgs,
    calls: Mutex<Vec<Arc<Call>>>,
    cancels: AtomicUsize,
    /// Says nothing any more.
    dead: AtomicBool,
    listening: AtomicBool,
    /// Requests that are over: who asked, the id, the answer.
    finished: Mutex<Vec<(String, Value, Value)>>,
    tasks: Mutex<Vec<tasks::Task>>,
    get_streams: Mutex<Vec<(String, mpsc::UnboundedSender<Value>)>>,
    /// Ends with this process, which holds its input.
    helper: OnceLock<Option<Child>>,
}

/// Who sent a message, and where the answer goes.
#[derive(Debug, Clone)]
struct Origin {
    session: String,
    revision: Revision,
    http: bool,
    out: Arc<Outlet>,
}

pub async fn serve(args: PracticeArgs) -> anyhow::Result<()> {
    let http = args.http;
    let practice = Arc::new(Practice {
        args,
        calls: Mutex::default(),
        cancels: AtomicUsize::new(0),
        dead: AtomicBool::new(false),
        listening: AtomicBool::new(false),
        finished: Mutex::default(),
        helper: OnceLock::new(),
        tasks: Mutex::default(),
        get_streams: Mutex::default(),
    });
    match http {
        Some(addr) => http::serve(practice, addr).await,
        None => stdio(practice).await,
    }
}

async fn stdio(practice: Arc<Practice>) -> anyhow::Result<()> {
    let (out, mut queue) = mpsc::unbounded_channel::<Value>();
    let writer = tokio::spawn(async move {
        let mut stdout = tokio::io::stdout();
        while let Some(message) = queue.recv().await {
            if stdout.write_all(format!("{message}\n").as_bytes()).await.is_err() {
                return;
            }
            let _ = stdout.flush().await;
        }
    });
    let outlet = Arc::new(Outlet::new(out));
    let mut input = BufReader::new(tokio::io::stdin());
    let mut line = Vec::new();
    while let Ok(1..) = input.read_until(b'\n', &mut line).await {
        let message = serde_json::from_slice::<Value>(&line);
        line.clear();
        let Ok(message) = message else { continue };
        let meta = &message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
        let stateless = *meta == "2026-07-28";
        let revision = if stateless { Revision::Stateless } else { Revision::Handshake };
        let origin =
            Origin { session: "stdio".to_owned(), revision, http: false, out: outlet.clone() };
        practice.handle(&origin, &message).await;
    }
    // The end of input.
    if practice.is(Flaw::Hasty) {
        std::process::exit(0);
    }
    for call in practice.calls().iter() {
        if practice.is(Flaw::AnswersAtTheEnd) && call.is_over() {
            outlet.send(call.result());
        }
        call.stop("the input has ended", Over::Silent);
    }
    let listening = practice.listening.load(Ordering::Relaxed);
    if practice.is(Flaw::Lingers) || (practice.is(Flaw::ListenLingers) && listening) {
        sleep(Duration::from_secs(6)).await;
    }
    // Answers under way still go out.
    sleep(Duration::from_millis(200)).await;
    outlet.close();
    if practice.is(Flaw::WaitsForItsReader) {
        let _ = writer.await;
    } else {
        let _ = tokio::time::timeout(Duration::from_secs(1), writer).await;
    }
    // The reader's thread may still wait for input: leave it.
    std::process::exit(0);
}

/// The hints of a tool that only works and tells.
pub(crate) fn reads_only() -> Value {
    json!({ "readOnlyHint": true, "destructiveHint": false, "idempotentHint": true,
        "openWorldHint": false })
}

impl Practice {
    fn is(&self, flaw: Flaw) -> bool {
        self.args.wrong == Some(flaw)
    }

    fn calls(&self) -> MutexGuard<'_, Vec<Arc<Call>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The call whose messages go out here.
    fn call_of(&self, out: &Arc<Outlet>) -> Option<Arc<Call>> {
        self.calls().iter().find(|call| Arc::ptr_eq(&call.out(), out)).cloned()
    }

    fn finished(&self) -> MutexGuard<'_, Vec<(String, Value, Value)>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that comes in passes here.
    async fn handle(self: &Arc<Self>, from: &Origin, message: &Value) {
        if self.dead.load(Ordering::Relaxed) {
            return from.out.keep_open();
        }
        while self.is(Flaw::Blocked) && self.calls().iter().any(|call| !call.is_over()) {
            sleep(Duration::from_millis(20)).await;
        }
        let method = message["method"].as_str().unwrap_or_default();
        match (method, message.get("id")) {
            ("notifications/cancelled", None) => self.cancelled(from, &message["params"]),
            ("tools/call", Some(id)) => self.call(from, id, &message["params"]),
            ("subscriptions/listen", Some(id)) => self.listen(from, id),
            (_, Some(id)) => {
                let answer = match self.answer(method, from, &message["params"]) {
                    Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
                    Err((code, text)) => json!({ "jsonrpc": "2.0", "id": id,
                        "error": { "code": code, "message": text } }),
                };
                self.finished().push((from.session.clone(), id.clone(), answer.clone()));
                if self.is(Flaw::Hasty) && method == "tools/list" {
                    let out = from.out.clone();
                    tokio::spawn(async move {
                        sleep(Duration::from_millis(50)).await;
                        out.send(answer);
                    });
                } else {
                    from.out.send(answer);
                }
            }
            (_, None) => {}
        }
    }

    fn answer(&self, method: &str, from: &Origin, params: &Value) -> Result<Value, (i64, String)> {
        let info = json!({ "name": "practice", "version": "1" });
        let mut result = match method {
            "initialize" => json!({ "protocolVersion": "2025-11-25", "serverInfo": info,
                "capabilities": { "tools": {} } }),
            "ping" => json!({}),
            "server/discover" => json!({ "supportedVersions": ["2025-11-25", "2026-07-28"],
                "capabilities": { "tools": { "listChanged": true },
                    "extensions": { tasks::EXTENSION: {} } },
                "ttlMs": 0, "cacheScope": "public",
                "_meta": { "io.modelcontextprotocol/serverInfo": info } }),
            "tools/list" => json!({ "tools": self.tools(), "ttlMs": 0, "cacheScope": "public" }),
            "tasks/get" | "tasks/cancel" => self.task(method, params)?,
            _ => return Err((-32601, format!("no method `{method}`"))),
        };
        if from.revision == Revision::Stateless && result.get("resultType").is_none() {
            result["resultType"] = json!("complete");
        }
        Ok(result)
    }

    fn tools(&self) -> Value {
        let tool = |name: &str, title: &str, description: &str, arguments: Value| {
            json!({ "name": name, "title": title, "description": description,
                "annotations": reads_only(), "inputSchema": arguments })
        };
        let argument = |kind: &str, description: &str, default: Value| json!({ "type": kind, "description": description, "default": default });
        let slow = tool(
            "slow_count",
            "Count slowly",
            "Counts for some seconds.",
            json!({
            "type": "object", "required": ["seconds"], "properties": {
                "seconds": argument("integer", "For how long", json!(10)) } }),
        );
        let status =
            tool("list_calls", "List the calls", "Lists the calls.", json!({ "type": "object" }));
        let probe = tool(
            "cancel_probe",
            "Probe a cancel",
            "See mcp-cancel-check.",
            json!({
            "type": "object", "required": ["id"], "properties": {
                "id": argument("string", "What the call is known by", json!("probe")),
                "ask": argument("boolean", "Tell of that call, and do not work", json!(false)),
                "steps": argument("integer", "How many steps", json!(200)),
                "step_ms": argument("integer", "How long a step takes", json!(50)) } }),
        );
        match self.args.tells {
            Tells::Status => json!([slow, status]),
            Tells::Probe => json!([slow, probe]),
            Tells::Nothing => json!([slow]),
        }
    }

    fn call(self: &Arc<Self>, from: &Origin, id: &Value, params: &Value) {
        let arguments = &params["arguments"];
        let (name, label) = (params["name"].as_str().unwrap_or_default(), &arguments["id"]);
        let told = match name {
            "list_calls" => Some(self.list()),
            "cancel_probe" if arguments["ask"] == true => Some(self.probe(label)),
            "slow_count" if self.is(Flaw::OnlyOnce) && !self.calls().is_empty() => {
                let text = "only one call is served";
                Some(json!({ "content": [{ "type": "text", "text": text }], "isError": true }))
            }
            "cancel_probe" | "slow_count" => None,
            _ => Some(json!({ "content": [{ "type": "text", "text": "no such tool" }],
                "isError": true })),
        };
        if let Some(mut result) = told {
            if from.revision == Revision::Stateless {
                result["resultType"] = json!("complete");
            }
            return from.out.send(json!({ "jsonrpc": "2.0", "id": id, "result": result }));
        }
        if self.is(Flaw::Dies) {
            std::process::exit(3);
        }
        if tasks::declared(params) {
            return from.out.send(self.new_task(id));
        }
        if self.is(Flaw::Leaky) && self.cancels.load(Ordering::Relaxed) >= 8 {
            return from.out.keep_open();
        }
        let running = self.calls().iter().any(|call| call.is(&from.session, id) && !call.is_over());
        if self.is(Flaw::DuplicateDies) && running {
            self.dead.store(true, Ordering::Relaxed);
            return from.out.keep_open();
        }
        let step = Duration::from_millis(self.args.step);
        let length = match arguments["steps"].as_u64() {
            Some(steps) => Duration::from_millis(arguments["step_ms"].as_u64().unwrap_or(50))
                .saturating_mul(u32::try_from(steps).unwrap_or(200)),
            None => Duration::from_secs(arguments["seconds"].as_u64().unwrap_or(10)),
        };
        let steps = (length.as_millis() / step.as_millis().max(1)).min(100_000) as u64;
        let number = self.calls().len();
        let call = Call::new(number, from, id, params, steps);
        self.calls().push(call.clone());
        if self.is(Flaw::CancelsOurCalls) {
            from.out.send(crate::wire::cancelled(json!({ "requestId": id })));
        }
        tokio::spawn(self.clone().run(call, step));
    }

    /// The work: steps, and progress after each.
    async fn run(self: Arc<Self>, call: Arc<Call>, step: Duration) {
        // What a call holds while it runs.
        let held = std::env::current_exe().and_then(File::open).ok();
        if self.args.helped {
            self.helper.get_or_init(|| Command::new("cat").stdin(Stdio::piped()).spawn().ok());
        }
        let child = self.is(Flaw::Messy).then(|| Command::new("sleep").arg("20").spawn().ok());
        if self.is(Flaw::ComputesOn) || self.is(Flaw::Finishes) {
            let (call, ends) = (call.clone(), self.is(Flaw::Finishes));
            std::thread::spawn(move || compute(&call, ends));
        }
        for done in 0..=call.steps {
            if self.is(Flaw::Finishes) && call.is_over() {
                return;
            }
            call.set_done(done);
            if let Some(progress) = call.progress(done) {
                call.report(progress);
            }
            let unstoppable = [Flaw::FalseStop, Flaw::Liar, Flaw::Deaf, Flaw::Finishes]
                .into_iter()
                .any(|flaw| self.is(flaw));
            tokio::select! {
                () = call.stopped.cancelled(), if !unstoppable => break,
                () = sleep(step) => {}
            }
        }
        if self.is(Flaw::Messy) {
            // Never closed, never waited for.
            std::mem::forget::<(Option<File>, Option<Option<Child>>)>((held, child));
        }
        call.end();
    }

    fn cancelled(&self, from: &Origin, params: &Value) {
        let id = &params["requestId"];
        let valid = id.is_string() || id.is_number();
        if self.is(Flaw::TaskCancelledByRequest) {
            self.stop_tasks(id);
        }
        // HTTP 2026-07-28 has no such notification.
        let ignored =
            from.http && from.revision == Revision::Stateless && !self.is(Flaw::PostedCancelHits);
        if ignored
            || self.is(Flaw::Deaf)
            || self.is(Flaw::Sessionless)
            || (self.is(Flaw::ZeroDeaf) && *id == 0)
        {
            return;
        }
        let any_session = self.is(Flaw::AnySession) || self.is(Flaw::PostedCancelHits);
        let same = |call: &Call| {
            let id_matches =
                if self.is(Flaw::UntypedIds) { text(&call.id) == text(id) } else { call.id == *id };
            id_matches && (any_session || call.session == from.session)
        };
        let calls = self.calls().clone();
        let running: Vec<_> = calls.iter().filter(|call| same(call) && !call.is_over()).collect();
        let finished = self
            .finished()
            .iter()
            .find(|(session, old, _)| *session == from.session && old == id)
            .cloned();
        let was_cancelled = calls.iter().any(|call| same(call) && call.is_over());
        let kills = match (running.is_empty(), valid) {
            (false, _) => self.is(Flaw::Clumsy),
            (true, false) => self.is(Flaw::MalformedKills),
            (true, true) if was_cancelled => self.is(Flaw::SecondCancelKills),
            (true, true) if finished.is_some() => self.is(Flaw::FinishedKills),
            (true, true) => self.is(Flaw::UnknownKills),
        };
        if kills {
            let mine = calls.iter().filter(|call| call.session == from.session);
            mine.for_each(|call| call.stop("by mistake", Over::Silent));
        }
        if let (true, Some((_, _, answer))) = (self.is(Flaw::AnswersTwice), finished) {
            from.out.send(answer);
        }
        if self.is(Flaw::ListenTalks) && running.is_empty() {
            let (out, id) = (from.out.clone(), id.clone());
            tokio::spawn(async move {
                for _ in 0..20 {
                    sleep(Duration::from_millis(50)).await;
                    let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
                    out.send(
                        json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed",
                        "params": { "_meta": meta } }),
                    );
                }
            });
        }
        let reason = params["reason"].as_str().filter(|_| !self.is(Flaw::Forgetful));
        for call in running {
            self.stop(call, reason.unwrap_or_default(), from);
        }
    }

    /// Stops a call by notification, in the way of the flaw.
    fn stop(&self, call: &Arc<Call>, reason: &str, from: &Origin) {
        if self.is(Flaw::EarlyDeaf) && call.done() < 20 {
            return;
        }
        self.cancels.fetch_add(1, Ordering::Relaxed);
        let error = |code| {
            json!({ "jsonrpc": "2.0", "id": call.id,
            "error": { "code": code, "message": "Request cancelled" } })
        };
        let end = match self.args.wrong {
            Some(Flaw::AnswersAnyway) => Over::Answer(call.result()),
            Some(Flaw::ErrorAnyway) => Over::Answer(error(0)),
            Some(Flaw::FalseStop) => {
                call.mute(Over::Answer(error(-32800)));
                return;
            }
            Some(Flaw::Finishes) => {
                // The rest of the work. It is over well before a checker gives up.
                let call = call.clone();
                tokio::spawn(async move {
                    sleep(Duration::from_secs(3)).await;
                    call.end();
                });
                return;
            }
            Some(Flaw::NeverEnds) => Over::Open,
            _ if from.http => Over::Answer(error(-32800)),
            _ => Over::Silent,
        };
        match self.args.wrong {
            Some(Flaw::Chatty) => chatter(call.clone(), call.out()),
            Some(Flaw::MovesToGet) => {
                let streams = self.get_streams.lock().unwrap_or_else(PoisonError::into_inner);
                let own = streams.iter().rfind(|(session, _)| *session == from.session);
                if let Some((_, stream)) = own {
                    chatter(call.clone(), Arc::new(Outlet::new(stream.clone())));
                }
            }
            Some(Flaw::HangsUp) => self.dead.store(true, Ordering::Relaxed),
            _ => {}
        }
        call.stop(reason, end);
    }

    fn listen(&self, from: &Origin, id: &Value) {
        self.listening.store(true, Ordering::Relaxed);
        let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
        let params = json!({ "_meta": meta, "notifications": { "toolsListChanged": true } });
        from.out.send(json!({ "jsonrpc": "2.0",
            "method": "notifications/subscriptions/acknowledged", "params": params }));
        from.out.keep_open();
    }

    fn list(&self) -> Value {
        let mut calls: Vec<Value> = self.calls().iter().map(|call| call.record()).collect();
        if self.is(Flaw::Unlisted) {
            calls.clear();
        }
        let misspelt = calls.iter_mut().filter(|call| call["state"] == "cancelled");
        misspelt
            .filter(|_| self.is(Flaw::Misspells))
            .for_each(|call| call["state"] = json!("canceled"));
        let list = json!({ "calls": calls });
        json!({ "content": [{ "type": "text", "text": list.to_string() }],
            "structuredContent": list })
    }

    fn probe(&self, label: &Value) -> Value {
        let found = self.calls().iter().rfind(|call| call.label == *label).cloned();
        let Some(record) = found.map(|call| call.record()) else {
            return json!({ "content": [{ "type": "text", "text": "{}" }] });
        };
        let told = json!({ "running": record["state"] == "running",
            "ticks": record["steps_done"], "cancelled": record["state"] == "cancelled",
            "reason": record["reason"] });
        json!({ "content": [{ "type": "text", "text": told.to_string() }] })
    }
}

/// Progress after the end.
fn chatter(call: Arc<Call>, out: Arc<Outlet>) {
    tokio::spawn(async move {
        for step in 0..40 {
            sleep(Duration::from_millis(50)).await;
            if let Some(progress) = call.progress(call.done() + step) {
                out.send(progress);
            }
        }
    });
}

/// Computes until the time is over, or the call is, whatever is asked of it. On a busy machine a
/// check takes long.
fn compute(call: &Call, ends_with_it: bool) {
    let started = std::time::Instant::now();
    let mut sum = 0_u64;
    while started.elapsed() < Duration::from_secs(60) && !(ends_with_it && call.is_over()) {
        sum = (0..1000).fold(sum, |sum, n| sum.wrapping_mul(31).wrapping_add(n));
    }
    call.note(sum);
}

fn text(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

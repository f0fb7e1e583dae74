//! The other side: a scripted server that watches what a client does.

mod http;
mod judge;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::Output;
use crate::report;
use crate::wire::Revision;
use crate::wire::log::{Event, Log};
use crate::wire::stdio::read_lines;

/// What `client` is told.
#[derive(Debug, Args)]
pub struct ClientArgs {
    /// Serve HTTP here instead of stdio; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Seconds until `initialize` is answered, for a client that gives up early
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    slow_start: u64,
    #[command(flatten)]
    output: Output,
}

/// What a client did, or was told.
#[derive(Debug, Clone)]
struct Seen {
    at: Instant,
    /// The session, or nothing where there is none.
    who: String,
    what: What,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Request {
        id: Value,
        method: String,
        tool: String,
    },
    Cancel {
        id: Value,
        reason: Option<String>,
    },
    /// We have answered this request.
    Answered {
        id: Value,
    },
    /// The client has closed the response of this request.
    Closed {
        id: Value,
    },
    /// The client is gone.
    Gone,
}

#[derive(Debug)]
struct Stage {
    seen: Mutex<Vec<Seen>>,
    log: Log,
    http: bool,
    revision: Mutex<Revision>,
    slow_start: Duration,
    /// Set by the tool `report`.
    over: CancellationToken,
}

const TOOLS: [(&str, &str); 7] = [
    ("cancel_me", "Works until it is cancelled, and is silent then. Cancel it."),
    ("time_out", "Says nothing for ever. Call it with a timeout."),
    ("answer_late", "Answers all the same when it is cancelled. Cancel it, then go on."),
    (
        "keep_alive",
        "Reports progress for 2 s, and answers. Call it with a timeout of 1 s that progress resets.",
    ),
    (
        "never_end",
        "Reports progress for ever. Call it with such a timeout, and a limit on the whole.",
    ),
    ("answer", "Answers at once."),
    ("report", "Ends the check and returns the report. With go_on: true it does not end it."),
];

/// Plays the server until the client is done, and judges it.
pub async fn watch(args: ClientArgs) -> anyhow::Result<ExitCode> {
    let stage = Arc::new(Stage {
        seen: Mutex::default(),
        log: Log::new(),
        http: args.http.is_some(),
        revision: Mutex::new(Revision::Handshake),
        slow_start: Duration::from_secs(args.slow_start),
        over: CancellationToken::new(),
    });
    for (name, what) in TOOLS {
        crate::note(&format!("   tool {name}: {what}"));
    }
    if let Some(addr) = args.http {
        http::serve(stage.clone(), addr).await?;
    } else {
        crate::note(
            "give your client this program as a stdio server; the report comes when it calls \
             `report`, or at the end of input",
        );
        stdio(&stage).await?;
    }
    let findings = judge::judge(&stage);
    let subject = json!({ "client": stage.lane() });
    // On stdio the output belongs to the protocol.
    crate::give(&args.output, &subject, &findings, !stage.http)
}

async fn stdio(stage: &Arc<Stage>) -> anyhow::Result<()> {
    let (out, mut queue) = mpsc::unbounded_channel::<Value>();
    tokio::spawn(async move {
        let mut stdout = tokio::io::stdout();
        while let Some(message) = queue.recv().await {
            if stdout.write_all(format!("{message}\n").as_bytes()).await.is_err() {
                return;
            }
            let _ = stdout.flush().await;
        }
    });
    let (_reads, reading) = watch::channel(true);
    let lines = read_lines(tokio::io::stdin(), reading, |line| {
        match serde_json::from_str::<Value>(&line) {
            Ok(message) => stage.handle("", &message, &out),
            Err(_) => stage.log.push(0, Event::Garbage(line)),
        }
        true
    });
    tokio::select! {
        () = lines => {}
        () = stage.over.cancelled() => {}
    }
    stage.note("", What::Gone);
    // The last answer is on its way.
    sleep(Duration::from_millis(100)).await;
    Ok(())
}

impl Stage {
    /// Notes what happens, until the check is over: what ends then is our doing.
    fn note(&self, who: &str, what: What) {
        if self.over.is_cancelled() {
            return;
        }
        let seen = Seen { at: Instant::now(), who: who.to_owned(), what };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    }

    fn all_seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn revision(&self) -> Revision {
        *self.revision.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lane(&self) -> String {
        let transport = if self.http { "http" } else { "stdio" };
        format!("{transport} {}", self.revision().name())
    }

    fn handle(self: &Arc<Self>, who: &str, message: &Value, out: &UnboundedSender<Value>) {
        self.log.push(0, Event::Received(message.clone(), None));
        let meta = &message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
        if *meta == Revision::Stateless.name() {
            *self.revision.lock().unwrap_or_else(PoisonError::into_inner) = Revision::Stateless;
        }
        let method = message["method"].as_str().unwrap_or_default().to_owned();
        let params = &message["params"];
        let Some(id) = message.get("id").cloned() else {
            if method == "notifications/cancelled" {
                let reason = params["reason"].as_str().map(str::to_owned);
                self.note(who, What::Cancel { id: params["requestId"].clone(), reason });
            }
            return;
        };
        if method.is_empty() {
            return;
        }
        let tool = params["name"].as_str().unwrap_or_default().to_owned();
        self.note(
            who,
            What::Request { id: id.clone(), method: method.clone(), tool: tool.clone() },
        );
        let info = json!({ "name": "mcp-cancel-check", "version": "1" });
        let result = match (method.as_str(), tool.as_str()) {
            ("initialize", _) => {
                // An answer in the client's own words, if it has the handshake at all.
                let version = params["protocolVersion"].as_str().unwrap_or("2025-11-25");
                json!({ "protocolVersion": version, "serverInfo": info,
                    "capabilities": { "tools": {} } })
            }
            ("server/discover", _) => json!({ "supportedVersions": ["2025-11-25", "2026-07-28"],
                "capabilities": { "tools": {} }, "ttlMs": 0, "cacheScope": "public",
                "_meta": { "io.modelcontextprotocol/serverInfo": info } }),
            ("ping", _) => json!({}),
            ("tools/list", _) => json!({ "tools": tools(), "ttlMs": 0, "cacheScope": "public" }),
            ("tools/call", "answer") => text("at once"),
            ("tools/call", "report") => {
                let go_on = params["arguments"]["go_on"] == true;
                tokio::spawn(self.clone().report(who.to_owned(), id, go_on, out.clone()));
                return;
            }
            (
                "tools/call",
                "cancel_me" | "time_out" | "keep_alive" | "never_end" | "answer_late",
            ) => {
                let token = params["_meta"]["progressToken"].clone();
                let token = (!token.is_null() && tool != "time_out").then_some(token);
                tokio::spawn(self.clone().work(who.to_owned(), id, tool, token, out.clone()));
                return;
            }
            _ => {
                let error = json!({ "code": -32601, "message": format!("no method `{method}`") });
                let answer = json!({ "jsonrpc": "2.0", "id": id, "error": error });
                self.log.push(0, Event::Sent(answer.clone()));
                let _ = out.send(answer);
                return;
            }
        };
        if method == "initialize" && !self.slow_start.is_zero() {
            let (stage, who, out) = (self.clone(), who.to_owned(), out.clone());
            tokio::spawn(async move {
                sleep(stage.slow_start).await;
                stage.answer(&who, &id, result, &out);
            });
            return;
        }
        self.answer(who, &id, result, out);
    }

    fn answer(&self, who: &str, id: &Value, mut result: Value, out: &UnboundedSender<Value>) {
        if self.revision() == Revision::Stateless {
            result["resultType"] = json!("complete");
        }
        self.note(who, What::Answered { id: id.clone() });
        let answer = json!({ "jsonrpc": "2.0", "id": id, "result": result });
        self.log.push(0, Event::Sent(answer.clone()));
        let _ = out.send(answer);
    }

    /// Answers with the report, and ends the check if that is wanted.
    async fn report(
        self: Arc<Self>,
        who: String,
        id: Value,
        go_on: bool,
        out: UnboundedSender<Value>,
    ) {
        // On HTTP messages overtake each other: a cancel may still be on its way.
        sleep(Duration::from_millis(500)).await;
        let table = report::table(&judge::judge(&self));
        self.answer(&who, &id, text(&table), &out);
        if !go_on {
            self.over.cancel();
        }
    }

    /// A call that does not end by itself.
    async fn work(
        self: Arc<Self>,
        who: String,
        id: Value,
        tool: String,
        token: Option<Value>,
        out: UnboundedSender<Value>,
    ) {
        const LONGEST: u32 = 6000;
        const KEPT_ALIVE: u32 = 20;
        let mut ticks = interval(Duration::from_millis(100));
        for step in 0..LONGEST {
            ticks.tick().await;
            let cancelled = self.all_seen().iter().any(|seen| {
                seen.who == who
                    && matches!(&seen.what, What::Cancel { id: named, .. } if *named == id)
            });
            if cancelled && tool == "answer_late" {
                return self.answer(&who, &id, text("too late"), &out);
            }
            if !cancelled && tool == "keep_alive" && step == KEPT_ALIVE {
                return self.answer(&who, &id, text("kept alive"), &out);
            }
            // A stuck server: it neither answers nor ends the exchange.
            if let (false, 0, Some(token)) = (cancelled, step % 2, &token) {
                let params = json!({ "progressToken": token, "progress": step });
                let news = json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                    "params": params });
                if out.send(news).is_err() {
                    return;
                }
            }
        }
    }
}

fn tools() -> Vec<Value> {
    let tool = |(name, what): (&str, &str)| {
        let title = format!("Judge: {}", name.replace('_', " "));
        json!({ "name": name, "title": title, "description": what,
            "annotations": crate::practice::reads_only(), "inputSchema": { "type": "object" } })
    };
    TOOLS.map(tool).to_vec()
}

fn text(text: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": text }] })
}

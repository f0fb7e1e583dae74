//! Lesson 10: what really travels when a call is cancelled.
//!
//! No SDK on this side: an HTTP client, JSON, and every message of a call printed as it goes and comes.
//! Each chapter is a short conversation that can be played alone, against any server that has
//! the tools `process_large_file` and `list_calls`:
//! `cargo run -p on-the-wire -- cancel --url http://localhost:8000/mcp`.

#[path = "../exercise/check.rs"]
pub mod check;
mod exercise;
pub mod wire;

use anyhow::{Context, ensure};
use course::lesson::{Chapter, Lesson, Protocol, Transport};
use course::stage::Stage;
use hosting::layer::Server;
use serde_json::{Value, json};
use shared::server::FileServer;
use wire::{Response, Wire};

/// Lesson 10.
pub const LESSON: Lesson = Lesson {
    number: 10,
    name: "on-the-wire",
    title: "What really travels when a call is cancelled",
    transports: &[Transport::Http],
    protocols: &[Protocol::V2025, Protocol::V2026],
    server: |setup| Ok(Server::new(FileServer::new(setup))),
    story: |stage| Box::pin(story(stage)),
    chapters: &CHAPTERS,
    exercise: Some(&check::EXERCISE),
};

/// The chapters, in the order in which the whole story plays them.
const CHAPTERS: [Chapter; 3] = [
    Chapter {
        name: "cancel",
        title: "A call, its cancel, and how the call ends",
        in_story: true,
        story: |stage| match stage.protocol {
            Protocol::V2025 => Box::pin(session(stage)),
            Protocol::V2026 => Box::pin(stateless(stage)),
        },
    },
    Chapter {
        name: "wrong-id",
        title: "Cancels that name no running call, and change nothing",
        in_story: true,
        story: |stage| Box::pin(wrong_id(stage)),
    },
    Chapter {
        name: "lsp-name",
        title: "$/cancelRequest is another protocol's word",
        in_story: true,
        story: |stage| Box::pin(lsp_name(stage)),
    },
];

/// The whole lesson: all chapters.
async fn story(stage: &Stage) -> anyhow::Result<()> {
    for chapter in CHAPTERS {
        println!("\n📖 {}: {}", chapter.name, chapter.title);
        (chapter.story)(stage).await.with_context(|| format!("chapter {}", chapter.name))?;
    }
    Ok(())
}

/// 2025-11-25.
async fn session(stage: &Stage) -> anyhow::Result<()> {
    let mut wire = Wire::new(stage.url()?);

    // 1. A session begins with a handshake. The server names the session in a header, and every
    //    later message carries that header: an id is unique within its session only.
    open(&mut wire).await?;

    // 2. The call. Its id is ours to choose. Id and session are all that a cancel needs. The
    //    response is a stream: progress first, the answer last.
    let mut call = wire.post(&work()).await?;
    call.progress(3).await?;

    // 3. The cancel is a message of its own, on a second POST. 202 says that it was received,
    //    not that anything has stopped: a notification is never answered.
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": { "requestId": 2, "reason": "the user pressed stop" } });
    wire.post(&cancel).await?.accepted().await?;

    // 4. The first POST is still open. The specification asks for no answer to a cancelled
    //    call, but an HTTP exchange must end somehow: this server ends it with an error.
    if stage.foreign {
        println!("   the call's stream says: {}", call.last_word().await);
    } else {
        let answer = call.answer().await?;
        ensure!(answer["error"]["code"] == -32800, "the call ended without -32800, with {answer}");
        ensure!(call.next().await?.is_none(), "the server talked on after its answer");
    }

    // 5. Whatever it says, the server has only been told. What the tool does, its list says.
    wire.stopped().await
}

async fn open(wire: &mut Wire) -> anyhow::Result<()> {
    let mut hello = wire
        .post(&json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25",
            "clientInfo": { "name": "on-the-wire", "version": "1" },
            "capabilities": {} } }))
        .await?;
    let answer = hello.answer().await?;
    ensure!(answer["result"]["protocolVersion"] == "2025-11-25", "no handshake: {answer}");
    wire.headers.push(("MCP-Protocol-Version", "2025-11-25".to_owned()));
    wire.headers.extend(hello.session.take().map(|session| ("Mcp-Session-Id", session)));
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    wire.post(&ready).await?.accepted().await
}

/// 2026-07-28.
async fn stateless(stage: &Stage) -> anyhow::Result<()> {
    let mut wire = Wire::new(stage.url()?);
    wire.headers.push(("MCP-Protocol-Version", "2026-07-28".to_owned()));

    // 1. No handshake and no session: the request says in `_meta` what the handshake said.
    let mut call = wire.post(&with_meta(work())).await?;
    call.progress(3).await?;

    // 2. The cancel. Nothing is sent: we close the response. So there is no id to get wrong,
    //    and no room for a reason.
    println!("            (the client closes the response)");
    drop(call);

    // 3. Ask in a new request: nothing ties it to the first but the server.
    wire.stopped().await
}

async fn wrong_id(stage: &Stage) -> anyhow::Result<()> {
    let (wire, mut call) = begin(stage).await?;

    // "Invalid cancellation notifications SHOULD be ignored" (basic/utilities/cancellation):
    // each is received, 202, and none is answered or does anything. Ids are typed: 2 is not
    // "2". The request 1 was `initialize`, which has finished, and must never be cancelled.
    let mut wrong = vec![
        ("the string \"2\"", json!({ "requestId": "2" })),
        ("an id that was never used", json!({ "requestId": 999 })),
        ("a request that has finished", json!({ "requestId": 1 })),
        ("an object as id", json!({ "requestId": { "id": 2 } })),
        ("no id at all", json!({ "reason": "stop everything" })),
    ];
    // On 2026-07-28 the right id is wrong too: without a session, any caller may have a call 2.
    if stage.protocol == Protocol::V2026 {
        wrong.push(("the right id", json!({ "requestId": 2 })));
    }
    for (what, params) in wrong {
        println!("\n   cancel for {what}:");
        wire.post(&cancelled(&params)).await?.accepted().await?;
        // The call's next message tells: one more step, or its end.
        let goes_on = call.progress(1).await;
        goes_on.with_context(|| format!("a cancel for {what} changed the call 2"))?;
    }

    println!("\n   the right cancel:");
    end(stage, &wire, call).await
}

async fn lsp_name(stage: &Stage) -> anyhow::Result<()> {
    let (wire, mut call) = begin(stage).await?;

    // MCP and the Language Server Protocol are both JSON-RPC, and texts mix them up.
    // `$/cancelRequest` is LSP's cancel. To an MCP server it is a notification that it does
    // not know; those are received and dropped. The code -32800, RequestCancelled, is LSP's
    // too: MCP defines none, and this server has borrowed it.
    let cancel = json!({ "jsonrpc": "2.0", "method": "$/cancelRequest", "params": { "id": 2 } });
    wire.post(&cancel).await?.accepted().await?;
    call.progress(1).await.context("$/cancelRequest changed the call 2")?;

    // The same in MCP's words. On 2025-11-25: another method, and `requestId` in place of `id`.
    end(stage, &wire, call).await
}

/// Starts the call, in either revision.
async fn begin(stage: &Stage) -> anyhow::Result<(Wire, Response)> {
    let mut wire = Wire::new(stage.url()?);
    let work = match stage.protocol {
        Protocol::V2025 => {
            open(&mut wire).await?;
            work()
        }
        Protocol::V2026 => {
            wire.headers.push(("MCP-Protocol-Version", "2026-07-28".to_owned()));
            with_meta(work())
        }
    };
    let mut call = wire.post(&work).await?;
    call.progress(1).await?;
    Ok((wire, call))
}

/// Cancels the call, in either revision.
async fn end(stage: &Stage, wire: &Wire, call: Response) -> anyhow::Result<()> {
    match stage.protocol {
        Protocol::V2025 => {
            let cancel = cancelled(&json!({ "requestId": 2 }));
            wire.post(&cancel).await?.accepted().await?;
        }
        Protocol::V2026 => {
            println!("            (the client closes the response)");
            drop(call);
        }
    }
    wire.stopped().await
}

/// The call that every chapter cancels: a hundred steps, and progress under a token of its own.
fn work() -> Value {
    json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
        "name": "process_large_file",
        "arguments": { "filename": "large_dataset.csv", "processing_time": 100 },
        "_meta": { "progressToken": "token of 2" } } })
}

fn cancelled(params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params })
}

/// On 2026-07-28 every request brings what the handshake used to say once.
fn with_meta(mut request: Value) -> Value {
    let meta = &mut request["params"]["_meta"];
    meta["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "on-the-wire", "version": "1" });
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
    request
}

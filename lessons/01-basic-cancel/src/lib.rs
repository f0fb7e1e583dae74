//! Lesson 1: cancel a running call, and prove that the server stopped.
//!
//! A client starts a long call, changes its mind after three steps, and cancels. Then it
//! does what most clients forget: it asks the server whether the work has really ended.
//!
//! The server's half of the lesson is `process` in `shared/src/server.rs`. To take code home,
//! open `examples/client.rs` and `examples/server.rs`: the same without our `shared`.

#[path = "../exercise/check.rs"]
pub mod check;
mod exercise;

use anyhow::{bail, ensure};
use chrono::Utc;
use course::lesson::{Lesson, Protocol, Transport};
use course::narrate::{bar, outcome, timeline};
use course::stage::Stage;
use hosting::layer::Server;
use rmcp::model::CancelledNotificationParam;
use rmcp::service::{PeerRequestOptions, ServiceError};
use serde_json::json;
use shared::calls::State;
use shared::client::{text_of, tool_call};
use shared::server::FileServer;
use tokio::time::Instant;

/// Lesson 1.
pub const LESSON: Lesson = Lesson {
    number: 1,
    name: "basic-cancel",
    title: "Cancel a running call, and prove that the server stopped",
    transports: &[Transport::Http, Transport::Stdio],
    protocols: &[Protocol::V2025, Protocol::V2026],
    server: |setup| Ok(Server::new(FileServer::new(setup))),
    story: |stage| Box::pin(story(stage)),
    chapters: &[],
    exercise: Some(&check::EXERCISE),
};

const REASON: &str = "the user pressed stop";

/// The lesson. Read it from top to bottom.
pub async fn story(stage: &Stage) -> anyhow::Result<()> {
    // 2025-11-25 opens a connection with the `initialize` handshake. 2026-07-28 has none: every
    // request says its revision and its client. `Client::connect` in `shared/src/client.rs` has both.
    let client = stage.connect().await?;
    //    The server may have run other calls. Ours will have a later number than this.
    let before = client.newest("process_large_file").await?;

    // 1. Start a call that takes ten steps. `call_tool(..)` would send the same request, but
    //    keep its id to itself, and a cancel has to name the request. So we send it by hand:
    //    the handle knows the id.
    let mut progress = client.progress();
    let call = tool_call(
        "process_large_file",
        json!({ "filename": "large_dataset.csv", "processing_time": 10 }),
    );
    let handle = client.send_cancellable_request(call, PeerRequestOptions::no_options()).await?;
    let id = handle.id.clone();
    //    rmcp gives every request a progress token. A progress notification carries that token,
    //    not the request id.
    let token = handle.progress_token.clone();
    println!("📁 request {id}: process_large_file(large_dataset.csv, 10 steps)");

    //    As in any real program, one task waits for the answer and another one cancels.
    let mut answer = tokio::spawn(handle.await_response());

    // 2. Watch it work. The first notification says "0 rows": the tool runs. Each further
    //    one is a step. We wait for these events, never for a time. (`shared` notes them where
    //    they arrive: rmcp handles each in a task of its own, and so perhaps out of order.)
    for step in 0..=3 {
        tokio::select! {
            news = progress.next_of(&token) => {
                let news = news?;
                let rows = news.message.unwrap_or_default();
                println!("   {} step {step}: {rows}", bar(news.progress, news.total.unwrap_or(0.0)));
            }
            answer = &mut answer => bail!("the call ended before it could be cancelled: {answer:?}"),
        }
    }
    //    The server gave the call a number of its own. We ask by it, because request ids are
    //    unique on one connection only.
    let number = client.newest("process_large_file").await?;
    ensure!(number > before, "the process that was asked does not list the call that runs");

    // 3. Cancel. On stdio and on HTTP 2025-11-25 this sends `notifications/cancelled` with the
    //    request's id. On HTTP 2026-07-28 there is no such message: rmcp closes the response
    //    stream, and the closed stream is the cancel (so there is no room for a reason).
    //    If nobody waits on the handle, `handle.cancel(reason)` does the same in one call.
    println!("🛑 cancel request {id}: {REASON}");
    let cancelled_at = Instant::now();
    let sent_at = Utc::now();
    let cancel = CancelledNotificationParam::new(Some(id.clone()), Some(REASON.to_owned()));
    client.notify_cancelled(cancel).await?;

    // 4. The waiting side is released by our own rmcp as soon as the cancel is sent, whether the
    //    server stops or not. The classic mistake is to stop here and call it cancelled.
    let settled = answer.await?.map(|_| "the call's result");
    ensure!(
        matches!(settled, Err(ServiceError::Cancelled { .. })),
        "the caller's wait did not end as cancelled, but with {settled:?}"
    );
    println!("   here:   the wait is over ({})", settled.unwrap_err());

    // 5. So ask the server.
    let record = client.ask_until_ended(number).await?;
    let took = cancelled_at.elapsed().as_secs_f64() * 1e3;
    ensure!(record.state != State::Running, "the server did not stop: {}", outcome(&record));
    ensure!(
        record.state == State::Cancelled && record.steps_done < record.steps_total,
        "the server did not cancel: its call {}",
        outcome(&record)
    );
    println!("   server: {}, confirmed {took:.1} ms after the cancel", outcome(&record));

    //    Did the reason arrive? It is for people: show it, log it, and decide nothing by it.
    //    The specification does not ask a server to keep it, so a server of yours may lose it.
    let expected = stage.cancels_by_message().then_some(REASON);
    let arrived = record.reason.as_deref() == expected;
    ensure!(
        arrived || stage.foreign,
        "the reason was lost: the server knows {}, not {}",
        record.reason.as_deref().unwrap_or("none"),
        expected.unwrap_or("none")
    );
    let reason = record.reason.map_or("no reason".to_owned(), |text| format!("reason {text:?}"));
    let why = match (arrived, expected) {
        (true, Some(_)) => "",
        (true, None) => " (a closed stream carries none)",
        (false, _) => " (remark: it was lost; the specification allows that)",
    };
    println!("   server: {reason}{why}");

    // 6. Only the call is gone, not the connection: the next call is served.
    let before = client.traffic(&id, &token);
    let next = client
        .call("process_large_file", json!({ "filename": "part_0.csv", "processing_time": 1 }));
    let next = match next.await {
        Ok(result) => text_of(&result),
        Err(error) => bail!("the connection did not survive the cancel: {error:#}"),
    };
    println!("📁 next call: {next}");

    // 7. And silence: while that call came and went, nothing more was said about the first.
    //    (basic/patterns/cancellation: the receiver does not respond to a cancelled request. On
    //    HTTP 2025-11-25 its stream ends with error -32800, which rmcp's client does not read.)
    let after = client.traffic(&id, &token);
    ensure!(
        after == before,
        "the server talked on about a cancelled call. Before the next call: {before}; after it: {after}"
    );
    ensure!(after.results == 0, "the server answered a cancelled call with a result");

    let calls = client.list_calls().await?;
    let ours = &calls[calls.len().saturating_sub(2)..];
    print!("\n{}", timeline(ours, &[(record.request_id, sent_at)]));
    client.close().await
}

//! Lesson 16: a bridge that passes the cancel on.
//!
//! Between a host and its server there is often a bridge: stdio in front of an HTTP server, or
//! HTTP in front of a stdio server. The caller sees the bridge. What the server does, only the
//! server knows; so each time it is asked.
//!
//! Two bridges that are right: `relay.rs` and `translate.rs`. Five that are not: `wrong.rs`.

pub mod added;
pub mod behind;
mod family;
pub mod relay;
pub mod tool;
pub mod translate;
pub mod upstream;
pub mod wrong;

use anyhow::{Context, bail, ensure};
use course::lesson::{Chapter, Lesson, Protocol, Transport};
use course::narrate::outcome;
use course::stage::Stage;
use hosting::cancel::REQUEST_CANCELLED;
use hosting::layer::Server;
use rmcp::model::CancelledNotificationParam;
use rmcp::service::{PeerRequestOptions, ServiceError};
use serde_json::json;
use shared::calls::{CallRecord, State};
use shared::client::{Client, tool_call};
use shared::server::FileServer;

use behind::{Bridge, Front};
use wrong::Fault;

/// Lesson 16.
pub const LESSON: Lesson = Lesson {
    number: 16,
    name: "bridge",
    title: "A bridge between host and server, and what it does with a cancel",
    transports: &[Transport::Http, Transport::Stdio],
    protocols: &[Protocol::V2025, Protocol::V2026],
    server: |setup| Ok(Server::new(FileServer::new(setup))),
    story: |stage| Box::pin(story(stage)),
    chapters: &CHAPTERS,
    exercise: None,
};

/// The same check behind one wrong bridge, so that you see the lesson fail. And a measurement.
const CHAPTERS: [Chapter; 6] = [
    chapter("new-ids", |stage| Box::pin(alone(stage, Fault::NewIds))),
    chapter("own-answer", |stage| Box::pin(alone(stage, Fault::OwnAnswer))),
    chapter("processes", |stage| Box::pin(alone(stage, Fault::Processes))),
    chapter("text-token", |stage| Box::pin(alone(stage, Fault::TextToken))),
    chapter("lost-token", |stage| Box::pin(alone(stage, Fault::LostToken))),
    Chapter {
        name: "added-time",
        title: "Measure what our bridges add to the time until the work has stopped",
        in_story: true,
        story: |stage| Box::pin(added::added_time(stage)),
    },
];

const fn chapter(name: &'static str, story: course::lesson::Story) -> Chapter {
    Chapter { name, title: "Put this wrong bridge in the place of ours", in_story: true, story }
}

const TOOL: &str = "process_large_file";
const REASON: &str = "the user pressed stop";

/// The wrong bridges, and how the check ends behind each. On stdio another process may be asked:
/// it does not list the call, so no one can tell how it ended.
const FAULTS: [(Fault, &str); 5] = [
    (Fault::NewIds, "the server did not stop"),
    (Fault::OwnAnswer, "the caller was told that its call is cancelled, and the server worked on"),
    (Fault::Processes, "the server did not stop"),
    (Fault::TextToken, "the progress was lost"),
    (Fault::LostToken, "the progress was lost"),
];

/// The lesson. Read it from top to bottom, and then `check`.
pub async fn story(stage: &Stage) -> anyhow::Result<()> {
    println!("\n🔌 no bridge");
    check(stage, Bridge::None).await?;

    // Wrong bridges. The caller sees little of it: its own wait ends at once with each of them.
    for (fault, sign) in FAULTS {
        println!("\n🔌 a wrong bridge: {}", in_words(fault));
        let noticed = check(stage, Bridge::Wrong(fault)).await.err();
        let noticed = noticed.with_context(|| format!("{fault:?} was not noticed"))?;
        println!("   💥 {noticed:#}");
        let seen = noticed.to_string();
        ensure!(seen.contains(sign), "{fault:?} was to be noticed by other words: {sign:?}");
    }

    // Ours. The relay needs one connection for one host, so it does not put HTTP in front of stdio.
    println!("\n🔌 relay: messages pass as they are");
    check(stage, Bridge::Relay).await?;
    println!("\n🔌 translate: ids, progress, cancels and answers are translated");
    check(stage, Bridge::Translate).await?;
    println!();
    Ok(())
}

/// The check behind one wrong bridge.
async fn alone(stage: &Stage, fault: Fault) -> anyhow::Result<()> {
    println!("\n🔌 a wrong bridge: {}", in_words(fault));
    check(stage, Bridge::Wrong(fault)).await
}

fn in_words(fault: Fault) -> &'static str {
    match fault {
        Fault::NewIds => "it gives calls new ids, and passes the cancel on with the old one",
        Fault::OwnAnswer => "it answers the cancel by itself",
        Fault::Processes => "it uses a process for each request",
        Fault::TextToken => "it makes a text of the progress token",
        Fault::LostToken => "it passes no progress on",
    }
}

/// Starts a call behind a bridge, cancels it after three steps, and asks the server.
async fn check(stage: &Stage, bridge: Bridge) -> anyhow::Result<()> {
    let front = Front::new(stage, bridge).await?;
    let record = cancel(&front.client, stage.foreign).await?;
    println!("   server: {}", outcome(&record));
    front.close().await
}

/// The check itself. Every `ensure!` is a claim about the bridge.
async fn cancel(client: &Client, foreign: bool) -> anyhow::Result<CallRecord> {
    let before = client.newest(TOOL).await?;

    // 1. The call. Its progress must come back under the caller's own token.
    let mut progress = client.progress();
    let call = tool_call(TOOL, json!({ "filename": "large_dataset.csv", "processing_time": 10 }));
    let handle = client.send_cancellable_request(call, PeerRequestOptions::no_options()).await?;
    let (id, token) = (handle.id.clone(), handle.progress_token.clone());
    let mut answer = tokio::spawn(handle.await_response());
    for _ in 0..=3 {
        tokio::select! {
            news = progress.next_of(&token) => drop(news.context("the progress was lost")?),
            answer = &mut answer => bail!(
                "the progress was lost: the call ended before its third step was heard of ({})",
                if answer?.is_ok() { "a result" } else { "an error" }
            ),
        }
    }

    // 2. The cancel. The caller's wait is over at once, whatever the bridge does with it: its own
    //    library ends it, or the bridge's answer, if that is there first.
    let cancel = CancelledNotificationParam::new(Some(id.clone()), Some(REASON.to_owned()));
    client.notify_cancelled(cancel).await?;
    let cancelled = match answer.await? {
        Err(ServiceError::Cancelled { .. }) => true,
        Err(ServiceError::McpError(error)) => error.code == REQUEST_CANCELLED,
        _ => false,
    };
    ensure!(cancelled, "the caller's wait did not end as cancelled");

    // 3. Ids change on the way. The number that the server itself gave to the call does not.
    let number = client.newest(TOOL).await?;
    ensure!(
        number > before,
        "the server did not stop, as far as one can tell: the process that was asked does not \
         list the call"
    );

    // 4. Ask the server. And if it works on: what was the caller told?
    let record = client.ask_until_ended(number).await?;
    let heard = client.traffic(&id, &token);
    let stopped = record.state == State::Cancelled && record.steps_done < record.steps_total;
    ensure!(
        stopped || heard.errors == 0,
        "the caller was told that its call is cancelled, and the server worked on: {}",
        outcome(&record)
    );
    ensure!(stopped, "the server did not stop: {}", outcome(&record));
    ensure!(heard.results == 0, "a cancelled call was answered with a result");
    let reason = record.reason.as_deref();
    ensure!(
        foreign || reason.is_none_or(|reason| reason == REASON),
        "the reason changed on the way: the server knows {reason:?}"
    );

    // 5. The bridge still passes calls on, and says no more about the cancelled one.
    let next = json!({ "filename": "part_0.csv", "processing_time": 1 });
    let next = client.call(TOOL, next).await;
    next.context("the connection did not survive the cancel")?;
    let after = client.traffic(&id, &token);
    ensure!(
        after.progress == heard.progress && after.results == 0,
        "the bridge talked on about a cancelled call: {heard:?} became {after:?}"
    );
    Ok(record)
}

//! Lesson 13: what an operator needs.
//!
//! A server is stopped many times in its life, by each deployment, and its callers must not be left
//! in the dark. While it runs, somebody wants to know how many calls it runs and why others ended,
//! and to stop one by hand. The server of every lesson can do all this. Here it is held to it.

mod operator;
mod server;
pub mod tools;

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use course::lesson::{Chapter, Lesson, Protocol, Transport};
use course::stage::Stage;
use hosting::layer::Server;
use rmcp::RoleClient;
use rmcp::service::{RequestHandle, ServiceError};
use serde_json::{Value, json};
use shared::client::{Client, patient, tool_call};
use shared::server::MAX_STEPS;
use tokio::time::{Instant, timeout};

use server::Serving;

/// Lesson 13.
pub const LESSON: Lesson = Lesson {
    number: 13,
    name: "operate",
    title: "An orderly end, numbers, and a stop button",
    transports: &[Transport::Http, Transport::Stdio],
    protocols: &[Protocol::V2025, Protocol::V2026],
    server: |setup| Ok(Server::new(tools::OperatedServer::new(setup))),
    story: |stage| Box::pin(story(stage)),
    chapters: &[SHUTDOWN, TWICE, METRICS, STOP],
    exercise: None,
};

const SHUTDOWN: Chapter = Chapter {
    name: "shutdown",
    title: "SIGTERM: every caller is told, and the server ends in time",
    in_story: true,
    story: |stage| Box::pin(shutdown(stage)),
};

const TWICE: Chapter = Chapter {
    name: "twice",
    title: "A second SIGTERM ends the server at once",
    in_story: true,
    story: |stage| Box::pin(twice(stage)),
};

const METRICS: Chapter = Chapter {
    name: "metrics",
    title: "The numbers add up (HTTP)",
    in_story: true,
    story: |stage| Box::pin(operator::metrics(stage)),
};

const STOP: Chapter = Chapter {
    name: "stop",
    title: "An operator stops one call (HTTP)",
    in_story: true,
    story: |stage| Box::pin(operator::stop(stage)),
};

/// The whole lesson: what there is of it on this transport.
async fn story(stage: &Stage) -> anyhow::Result<()> {
    for chapter in LESSON.chapters {
        // On stdio there is one client, which starts and ends its server: it is the operator.
        let needs_http = [METRICS.name, STOP.name].contains(&chapter.name);
        if needs_http && stage.transport == Transport::Stdio {
            continue;
        }
        println!("\n📖 {}: {}", chapter.name, chapter.title);
        (chapter.story)(stage).await.with_context(|| format!("chapter {}", chapter.name))?;
    }
    Ok(())
}

/// How long the calls of the chapter `shutdown` have to clean up.
const GRACE: Duration = Duration::from_secs(1);

/// Stops a server while three calls run that listen, and one that does not.
async fn shutdown(stage: &Stage) -> anyhow::Result<()> {
    let (server, client) = Serving::start(stage, GRACE).await?;
    let mut calls = Vec::new();
    for tool in ["process_large_file", "process_large_file", "process_large_file", "deaf"] {
        calls.push((tool, start(&client, tool).await?));
    }
    println!("   4 calls run, one of them deaf, and the server gets SIGTERM");
    let (told_at, count) = (Instant::now(), calls.len());
    server.terminate()?;

    // 1. A caller that is told can try elsewhere. One that is not told waits for its own timeout.
    for (tool, call) in calls {
        is_told(stage, tool, call).await?;
        println!("   {tool:18} told after {:.2} s", told_at.elapsed().as_secs_f64());
    }
    // 2. A process manager takes any other code for a crash.
    let (status, log) = server.ended().await?;
    ensure!(status.code() == Some(0), "the server did not end well, but with {status}");
    println!("   exit code 0        after {:.2} s", told_at.elapsed().as_secs_f64());

    // 3. What the log says of it, one JSON object in each line: three calls have stopped by
    //    themselves. The deaf one was aborted when the grace was over. Nobody was forgotten.
    let ended = log.iter().filter(|event| event["message"] == "call has ended");
    let outcomes: Vec<_> = ended.map(|event| event["outcome"].as_str().unwrap_or("?")).collect();
    let of = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    ensure!(
        (of("cancelled"), of("aborted"), outcomes.len()) == (count - 1, 1, count),
        "the log should tell of 3 calls that were cancelled and 1 that was aborted: {outcomes:?}"
    );
    println!("   the log: 3 calls cancelled, 1 aborted after a grace of {GRACE:?}");
    Ok(())
}

/// A person who sends the signal again means it: the grace does not count any more.
async fn twice(stage: &Stage) -> anyhow::Result<()> {
    let (server, client) = Serving::start(stage, Duration::from_secs(3600)).await?;
    let deaf = start(&client, "deaf").await?;
    let call = start(&client, "process_large_file").await?;
    server.terminate()?;
    // Its caller is told, so the first signal has arrived. Two at once would count as one.
    is_told(stage, "process_large_file", call).await?;
    println!("   SIGTERM, and a grace of an hour for a deaf call");
    server.terminate()?;
    let (status, _) = server.ended().await.context("a second signal was ignored")?;
    ensure!(status.code() == Some(130), "a second signal ended the server with {status}, not 130");
    println!("   SIGTERM again: exit code 130, at once");
    drop(deaf);
    Ok(())
}

/// Starts a call, and returns when it is at work.
pub(crate) async fn start(
    client: &Client,
    tool: &'static str,
) -> anyhow::Result<RequestHandle<RoleClient>> {
    let arguments = match tool {
        "process_large_file" => json!({ "filename": "part_0.csv", "processing_time": MAX_STEPS }),
        _ => Value::Null,
    };
    let mut progress = client.progress();
    let mut call = client.send_cancellable_request(tool_call(tool, arguments), patient()).await?;
    tokio::select! {
        first = progress.next_of(&call.progress_token) => drop(first?),
        answer = &mut call.rx => bail!("{tool} ended before it was at work: {answer:?}"),
    }
    Ok(call)
}

/// The caller gets an error that says why: the server is shutting down.
async fn is_told(stage: &Stage, tool: &str, call: RequestHandle<RoleClient>) -> anyhow::Result<()> {
    let patience = stage.patience;
    match timeout(patience, call.await_response()).await {
        Ok(Err(ServiceError::McpError(error))) if error.message.contains("shutting down") => Ok(()),
        Err(_) | Ok(Err(ServiceError::Timeout { .. })) => {
            bail!("the caller of {tool} still waits, {patience:?} after SIGTERM")
        }
        Ok(Err(error)) => bail!("the caller of {tool} was not told, but cut off: {error}"),
        Ok(Ok(answer)) => bail!("the caller of {tool} was not told, but got {answer:?}"),
    }
}

//! Attacks on the server itself: more than it can hold, and what it should not let in.

use std::fmt::Write as _;

use anyhow::{Context, bail, ensure};
use course::lesson::Protocol;
use futures::stream::{self, StreamExt, TryStreamExt};
use hosting::guard::Limits;
use hosting::http::MAX_BODY;
use reqwest::Method;
use serde_json::{Value, json};
use shared::calls::{CallRecord, MAX_TEXT, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Scene;
use crate::attacker::{Attacker, Reply};
use crate::ids::of_task;

/// So many requests of a flood are under way at once.
const AT_ONCE: usize = 16;

/// Calls, one after the other, each with a connection that is dropped at once: on 2025-11-25 that
/// is no cancel, so the attacker pays nothing and the server works.
pub(crate) async fn calls(scene: &Scene<'_>) -> anyhow::Result<String> {
    let limit = Limits::default().calls_per_session;
    let attacker = &scene.attacker().await?;
    let calls = stream::iter(0..limit)
        .map(async |id| attacker.start(&attacker.call(id, 3600)).await.map(drop));
    calls.buffer_unordered(AT_ONCE).try_for_each(async |()| Ok(())).await?;
    until_running(scene, limit + 1).await?;
    let refused = attacker.post(&attacker.call("one more", 3600)).await;
    let refused =
        refused.with_context(|| format!("no end of calls: {} in one session", limit + 1))?;
    let error = &refused.answer["error"];
    let retry = error["data"]["retryAfter"].as_u64();
    let retry = retry.with_context(|| format!("not told when to try again: {}", refused.answer))?;
    let next = scene.victim.is_served("next").await;
    next.context("another session has no room for a call")?;
    attacker.end().await?;
    until_running(scene, 1).await?;
    Ok(format!("{limit} calls in a session; the next is told to come back after {retry} s"))
}

/// Waits until so many calls run.
async fn until_running(scene: &Scene<'_>, count: usize) -> anyhow::Result<()> {
    let running = |calls: &[CallRecord]| {
        let running = calls.iter().filter(|call| call.state == State::Running).count();
        (running == count).then_some(())
    };
    scene.victim.until(&format!("there are never {count} calls running"), running).await
}

/// Sessions that nobody needs.
pub(crate) async fn sessions(scene: &Scene<'_>) -> anyhow::Result<String> {
    // Their connections are shared, so the flood does not run out of files.
    let first = &Attacker::new(scene.stage)?;
    let opening = stream::iter(0..=scene.no_end).map(async |_| {
        let mut attacker = first.clone();
        let reply = attacker.open().await?.context("2025-11-25 has sessions")?;
        anyhow::Ok((attacker, reply))
    });
    let all: Vec<_> = opening.buffer_unordered(AT_ONCE).try_collect().await?;
    let (mut opened, mut refused) = (Vec::new(), Vec::new());
    for (attacker, reply) in all {
        if attacker.session.is_some() {
            opened.push(attacker);
        } else {
            refused.push(reply);
        }
    }
    let Some(one) = opened.first() else {
        let status = refused.first().map(|reply| reply.status);
        bail!("not one further session was opened: {}", status.unwrap_or_default())
    };
    let served = one.is_served(1).await;
    let ends = stream::iter(&opened).map(Attacker::end).buffer_unordered(AT_ONCE);
    ends.try_for_each(async |()| Ok(())).await?;
    for reply in &refused {
        ensure!(reply.status == 503, "a session too many is answered {}", reply.status);
    }
    let Some(reply) = refused.first() else { bail!("no end of sessions: {}", opened.len()) };
    let retry = reply.head.get("retry-after").context("not told when to try again")?.to_str()?;
    served.context("the sessions that are open are not served")?;
    Ok(format!("503 for one too many, \"Retry-After: {retry}\""))
}

/// The same message from a client that takes tasks.
pub(crate) fn declaring(mut message: Value) -> Value {
    message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
        json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    message
}

/// Starts a task, and returns its id, or the refusal.
pub(crate) async fn start_task(by: &Attacker, id: &str) -> anyhow::Result<Result<String, Reply>> {
    let reply = by.post(&declaring(by.call(id, 3600))).await?;
    let task = reply.answer["result"]["taskId"].as_str().map(str::to_owned);
    Ok(task.ok_or(reply))
}

/// Tasks that nobody needs. Their own store bounds them.
pub(crate) async fn tasks(scene: &Scene<'_>) -> anyhow::Result<String> {
    let attacker = scene.attacker().await?;
    let mut started = Vec::new();
    let refused = loop {
        match start_task(&attacker, "one more").await? {
            Ok(task) => started.push(task),
            Err(reply) => break Some(reply),
        }
        if started.len() > scene.no_end {
            break None;
        }
    };
    for task in &started {
        of_task(&attacker, "tasks/cancel", task).await?;
    }
    let Some(refused) = refused else { bail!("no end of tasks: {}", started.len()) };
    let why = refused.answer.to_string();
    ensure!(why.contains("try again"), "not told when to try again: {why}");
    Ok("a task too many is told when those before it are forgotten".to_owned())
}

/// A body over the limit.
pub(crate) async fn big_body(scene: &Scene<'_>) -> anyhow::Result<String> {
    let attacker = scene.attacker().await?;
    let mut call = attacker.call(1, 1);
    call["params"]["arguments"]["padding"] = json!("x".repeat(MAX_BODY));
    let status = attacker.post(&call).await?.status;
    ensure!(status == 413, "a body of {} bytes is answered {status}", call.to_string().len());
    Ok(format!("413 for more than {MAX_BODY} bytes"))
}

/// A body that never comes to its end.
pub(crate) async fn slow_body(scene: &Scene<'_>) -> anyhow::Result<String> {
    let attacker = scene.attacker().await?;
    let request = attacker.http(Method::POST).build()?;
    let (url, body) = (request.url(), "{\"jsonrpc\"");
    let (host, port) = (url.host_str().unwrap_or_default(), url.port().unwrap_or(80));
    let mut head = format!("POST {} HTTP/1.1\r\nhost: {host}:{port}\r\n", url.path());
    for (name, value) in request.headers() {
        write!(head, "{name}: {}\r\n", value.to_str()?)?;
    }
    let mut connection = TcpStream::connect((host, port)).await?;
    let sent = format!("{head}content-length: 1000\r\n\r\n{body}");
    connection.write_all(sent.as_bytes()).await?;
    let mut answer = [0; 12];
    let patience = Limits::default().body + attacker.patience;
    let answered = timeout(patience, connection.read_exact(&mut answer)).await;
    ensure!(answered.is_ok(), "the server still waits for a slow body");
    answered??;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    ensure!(answer.ends_with("408"), "a slow body is answered {answer:?}");
    Ok(format!("408 after {:?}", Limits::default().body))
}

/// A web page that a browser on this machine has open.
pub(crate) async fn origin(scene: &Scene<'_>) -> anyhow::Result<String> {
    let sent = foreign(scene, "origin", "http://attacker.example").await?;
    ensure!(sent == 403, "a foreign Origin is answered {sent}");
    Ok("403 for a page of another site".to_owned())
}

/// The same by DNS rebinding: the attacker's name leads to this machine.
pub(crate) async fn host(scene: &Scene<'_>) -> anyhow::Result<String> {
    let sent = foreign(scene, "host", "attacker.example").await?;
    ensure!(sent == 403, "a foreign Host is answered {sent}");
    Ok("403 for another host's name".to_owned())
}

async fn foreign(scene: &Scene<'_>, name: &str, value: &str) -> anyhow::Result<u16> {
    let attacker = scene.attacker().await?;
    let list = attacker.request(&json!(1), "tools/list", json!({}));
    let mut request = attacker.http(Method::POST).header(name, value).body(list.to_string());
    if scene.stage.protocol == Protocol::V2026 {
        request = request.header("mcp-method", "tools/list");
    }
    Ok(timeout(attacker.patience, request.send()).await??.status().as_u16())
}

/// A reason as long as a body may be, full of what moves a terminal's cursor.
pub(crate) async fn reason(scene: &Scene<'_>) -> anyhow::Result<String> {
    let attacker = scene.attacker().await?;
    let before = scene.victim.newest().await?;
    attacker.start(&attacker.call(4, 3600)).await?;
    let number = scene.victim.newer_than(before).await?;
    let reason = "\u{1b}[2J".repeat((MAX_BODY - 1000) / 9);
    attacker.cancel_because(&reason, 4).await?;
    let kept = scene.victim.ended(number).await?.reason.unwrap_or_default();
    let length = kept.chars().count();
    ensure!(length <= MAX_TEXT + 1, "{length} characters of a reason were kept");
    ensure!(!kept.contains(char::is_control), "a reason keeps what moves a cursor: {kept:?}");
    Ok(format!("{} characters became {length} harmless ones", reason.len()))
}

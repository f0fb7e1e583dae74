//! Attacks with ids: of other clients, of calls that do not exist, of calls that are not there yet.

use anyhow::{Context, ensure};
use course::lesson::Protocol;
use course::narrate::outcome;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::json;
use shared::calls::State;
use uuid::Uuid;

use crate::attacker::{Attacker, Reply};
use crate::{Scene, VICTIM};

/// After so many of them a server that remembers them gives itself away.
const EARLY: u32 = 100;
/// So many of them are under way at once.
const AT_ONCE: usize = 16;

/// The attacker has a call with the victim's request id, and cancels it: only its own stops.
/// Request ids belong to a session; on HTTP 2026-07-28, to one request and its stream.
pub(crate) async fn same(scene: &Scene<'_>) -> anyhow::Result<String> {
    let attacker = scene.attacker().await?;
    let before = scene.victim.newest().await?;
    let own = attacker.start(&attacker.call(VICTIM, 3600)).await?;
    let started = scene.victim.newer_than(before).await?;
    if scene.stage.protocol == Protocol::V2025 {
        attacker.cancel(VICTIM).await?;
    }
    // Hanging up is the cancel of 2026-07-28.
    drop(own);
    is_stopped(scene, started).await?;
    Ok("the attacker's call stopped, the victim's runs".to_owned())
}

/// Cancels for all ids that the victim's call could have.
pub(crate) async fn guessed(scene: &Scene<'_>) -> anyhow::Result<String> {
    let attacker = scene.attacker().await?;
    for id in 0..50 {
        attacker.cancel(id).await?;
        attacker.cancel(id.to_string()).await?;
    }
    Ok("100 ids tried, no call of another client was found".to_owned())
}

/// `"7"` is not 7.
pub(crate) async fn other_type(scene: &Scene<'_>) -> anyhow::Result<String> {
    let attacker = scene.attacker().await?;
    let call = attacker.start(&attacker.call(7, 1)).await?;
    attacker.cancel("7").await?;
    let reply =
        attacker.read(call).await.context("after a cancel of \"7\" the call 7 is not answered")?;
    ensure!(reply.is_result(), "\"7\" cancelled the call 7: {}", reply.answer);
    Ok("a cancel of \"7\" is not one of 7".to_owned())
}

/// Session ids are random. The first characters of one, which `list_calls` shows, are no key.
pub(crate) async fn sessions(scene: &Scene<'_>) -> anyhow::Result<String> {
    let calls = scene.victim.calls().await?;
    let shown = calls.into_iter().find(|call| call.call == scene.number);
    let shown = shown.and_then(|call| call.session).context("no session is listed")?;
    let random = std::iter::repeat_with(|| Uuid::new_v4().to_string()).take(50);
    let mut tried = 0;
    for guess in [shown, "1".to_owned()].into_iter().chain(random) {
        let mut attacker = Attacker::new(scene.stage)?;
        attacker.session = Some(guess);
        let status = attacker.cancel(VICTIM).await?;
        ensure!(status.is_client_error(), "a guessed session id was accepted: {status}");
        attacker.end().await?;
        tried += 1;
    }
    Ok(format!("{tried} session ids tried, all refused"))
}

/// A task is cancelled by whoever has its id. So the id must not be guessable.
pub(crate) async fn tasks(scene: &Scene<'_>) -> anyhow::Result<String> {
    let owner = scene.attacker().await?;
    let task = crate::floods::start_task(&owner, "the task's call").await?;
    let task = task.map_err(|reply| anyhow::anyhow!("no task: {}", reply.answer))?;
    let mut near = task.clone();
    let last = near.pop();
    near.push(if last == Some('0') { '1' } else { '0' });
    let random = std::iter::repeat_with(|| Uuid::new_v4().to_string()).take(50);
    let stranger = Attacker::new(scene.stage)?;
    for guess in [near, "1".to_owned()].into_iter().chain(random) {
        let reply = of_task(&stranger, "tasks/cancel", &guess).await?;
        ensure!(
            reply.answer["error"]["code"] == -32602,
            "a guessed task id was accepted: {}",
            reply.answer
        );
    }
    let looked = of_task(&owner, "tasks/get", &task).await?;
    let status = &looked.answer["result"]["status"];
    ensure!(status == "working", "the task was hit: {}", looked.answer);
    of_task(&owner, "tasks/cancel", &task).await?;
    Ok("52 task ids tried, all unknown (-32602)".to_owned())
}

/// A request about a task.
pub(crate) async fn of_task(by: &Attacker, method: &str, id: &str) -> anyhow::Result<Reply> {
    by.post(&crate::floods::declaring(by.request(&json!(method), method, json!({ "taskId": id }))))
        .await
}

/// `initialize` must not be cancelled, also not when it has been answered.
pub(crate) async fn initialize(scene: &Scene<'_>) -> anyhow::Result<String> {
    let attacker = scene.attacker().await?;
    attacker.cancel("initialize").await?;
    let served = attacker.is_served(98).await;
    served.context("a cancel of `initialize` ended the session")?;
    Ok("a cancel of `initialize` changes nothing".to_owned())
}

/// Cancels for calls that do not exist. They must not be remembered either: that would be memory
/// for whoever asks, and a trap for later calls. It looks early, and again at the end.
pub(crate) async fn unknown(scene: &Scene<'_>) -> anyhow::Result<String> {
    let attacker = &scene.attacker().await?;
    for ids in [0..EARLY, EARLY..scene.flood] {
        let one = format!("unknown {}", ids.start);
        let cancels = stream::iter(ids).map(|id| attacker.cancel(format!("unknown {id}")));
        cancels.buffer_unordered(AT_ONCE).try_for_each(async |_| Ok(())).await?;
        let served = attacker.is_served(one).await;
        served.context("a call was hit by a cancel from before its time")?;
    }
    Ok(format!("{} cancels, and the next call with such an id is served", scene.flood))
}

/// A cancel that comes before its call.
pub(crate) async fn early(scene: &Scene<'_>) -> anyhow::Result<String> {
    let attacker = scene.attacker().await?;
    attacker.cancel(99).await?;
    let served = attacker.is_served(99).await;
    served.context("a call was hit by a cancel from before its time")?;
    Ok("a cancel before its call is not remembered".to_owned())
}

/// One call, cancelled twice.
pub(crate) async fn twice(scene: &Scene<'_>) -> anyhow::Result<String> {
    let attacker = scene.attacker().await?;
    let before = scene.victim.newest().await?;
    let call = attacker.start(&attacker.call(5, 3600)).await?;
    let number = scene.victim.newer_than(before).await?;
    attacker.cancel(5).await?;
    attacker.cancel(5).await?;
    is_stopped(scene, number).await?;
    let served = attacker.is_served(6).await;
    served.context("the server did not survive a second cancel")?;
    attacker.ends_cancelled(call).await?;
    Ok("the second cancel is ignored, the server serves on".to_owned())
}

/// Two calls with one id at once. A cancel could mean either, so the second is refused.
pub(crate) async fn duplicate(scene: &Scene<'_>) -> anyhow::Result<String> {
    let attacker = scene.attacker().await?;
    let before = scene.victim.newest().await?;
    let first = attacker.start(&attacker.call(8, 3600)).await?;
    let number = scene.victim.newer_than(before).await?;
    let second = attacker.post(&attacker.call(8, 3600)).await;
    let second = second.context("a second call with the id of an open one was accepted")?;
    let code = &second.answer["error"]["code"];
    ensure!(*code == -32600, "a second call with the id of an open one: {}", second.answer);
    attacker.cancel(8).await?;
    is_stopped(scene, number).await?;
    attacker.ends_cancelled(first).await?;
    Ok("the second is refused (-32600), the first can be cancelled".to_owned())
}

/// The attacker's own call, which it has cancelled, has stopped, says the server.
async fn is_stopped(scene: &Scene<'_>, number: u64) -> anyhow::Result<()> {
    let ended = scene.victim.ended(number).await?;
    let how = outcome(&ended);
    ensure!(ended.state == State::Cancelled, "the attacker cannot cancel its own call: {how}");
    Ok(())
}

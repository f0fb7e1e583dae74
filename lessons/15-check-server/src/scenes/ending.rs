//! stdio: the end of input. Each scene has a server process of its own.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::finding::Verdict::{Fail, NotApplicable, Pass, Warn};
use crate::lane::{Lane, SETTLE, plain};
use crate::tree::{self, Tree};
use crate::wire::ANSWER;
use crate::wire::log::{self, Event, Frame};

/// An orderly exit takes no longer.
const PROMPT: Duration = Duration::from_secs(5);
/// After this nobody waits any longer.
const LATEST: Duration = Duration::from_secs(12);

/// 21: a call runs, and the client is gone.
pub async fn exit(lane: &mut Lane) -> anyhow::Result<()> {
    lane.start().await?;
    sleep(SETTLE).await;
    ends(lane, 21).await;
    Ok(())
}

/// 42: the same with a subscription.
pub async fn exit_with_listen(lane: &mut Lane) -> anyhow::Result<()> {
    match super::listen::listen(lane).await {
        Ok(_) => ends(lane, 42).await,
        Err(why) => lane.judge(42, NotApplicable, why.to_string()),
    }
    Ok(())
}

async fn ends(lane: &mut Lane, number: u32) {
    let tree = lane.wire.pid().and_then(|pid| Tree::of(pid, None));
    let family = tree.map(|tree| tree.processes()).unwrap_or_default();
    let asked = Instant::now();
    lane.wire.end_input().await;
    let exited = lane.wire.exit(LATEST).await.is_some();
    let took = asked.elapsed();
    let root = lane.wire.pid();
    // What was a child of the server is nobody's by now.
    let left: Vec<_> = family
        .iter()
        .filter(|(process, _)| Some(process.0) != root && tree::lives(**process))
        .map(|(_, name)| plain(name))
        .collect();
    if !exited {
        lane.judge(number, Warn, format!("it had not exited after {LATEST:?}"));
        lane.wire.kill().await;
    } else if !left.is_empty() {
        lane.judge(number, Warn, format!("it exited and left behind: {}", left.join(", ")));
    } else if took > PROMPT {
        let took = took.as_secs_f64();
        lane.judge(number, Warn, format!("it took longer than {PROMPT:?}: {took:.2} s"));
    } else {
        lane.judge(
            number,
            Pass,
            format!("it exited after {:.1} s, nothing left behind", took.as_secs_f64()),
        );
    }
}

/// 22: the last answer.
pub async fn drain(lane: &mut Lane) -> anyhow::Result<()> {
    let request = lane.wire.request("tools/list", json!({}));
    lane.wire.end_input().await;
    match lane.wire.answer(&request, PROMPT).await {
        Ok(_) => lane.judge(22, Pass, "`tools/list` was answered after the end of input"),
        Err(error) => lane.judge(22, Warn, format!("`tools/list` was not answered: {error:#}")),
    }
    Ok(())
}

/// 25: nobody reads the server's output any more. It is full, and the client is gone.
pub async fn stuck(lane: &mut Lane) -> anyhow::Result<()> {
    // A pipe holds 64 KiB, and a server has buffers of its own.
    const FULL: usize = 160 << 10;
    let tools = lane.wire.ask("tools/list", json!({}), ANSWER).await?;
    lane.wire.stall().await;
    for _ in 0..(FULL / tools.to_string().len()).clamp(20, 1000) {
        lane.wire.request("tools/list", json!({}));
    }
    sleep(SETTLE * 3).await;
    let asked = Instant::now();
    lane.wire.abandon().await;
    if lane.wire.exit(PROMPT).await.is_some() {
        let took = asked.elapsed().as_secs_f64();
        lane.judge(25, Pass, format!("it exited after {took:.1} s, its output unread"));
        return Ok(());
    }
    lane.wire.terminate().await;
    if lane.wire.exit(PROMPT).await.is_some() {
        let seen = format!("with its output unread it had not exited after {PROMPT:?}");
        lane.judge(25, Warn, format!("{seen}; it did when it was told to (SIGTERM)"));
    } else {
        lane.judge(25, Fail, "with its output unread it does not even exit when told to (SIGTERM)");
    }
    Ok(())
}

/// 23: no last answer for what was cancelled.
pub async fn silence(lane: &mut Lane) -> anyhow::Result<()> {
    let call = lane.start().await?;
    let mark = lane.wire.log.mark();
    lane.wire.cancel(&call.request, "and good bye");
    lane.wire.end_input().await;
    let over = |frame: &Frame| matches!(frame.event, Event::Ended).then_some(());
    lane.wire.log.first(mark, PROMPT, over).await;
    match lane.answers(&call.request, mark).first() {
        None => lane.judge(23, Pass, "no answer came"),
        Some(answer) if log::error(answer).is_some() => {
            lane.judge(23, Warn, format!("an error came, code {}", answer["error"]["code"]));
        }
        Some(_) => lane.judge(23, Fail, "a result came"),
    }
    Ok(())
}

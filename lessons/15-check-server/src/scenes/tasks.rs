//! 2026-07-28: tasks, which outlive their requests and have a cancel of their own.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::finding::Verdict::{Fail, NotApplicable, NotObservable, Pass};
use crate::lane::{Lane, plain};
use crate::wire::{ANSWER, cancelled};
use crate::work::STOP;

/// The status of a task that waits for its user's input.
const PARKED: &str = "input_required";
const EXTENSION: &str = "io.modelcontextprotocol/tasks";
const META: &str = "io.modelcontextprotocol/clientCapabilities";
const NUMBERS: [u32; 7] = [43, 44, 45, 46, 47, 48, 49];

pub async fn play(lane: &mut Lane) -> anyhow::Result<()> {
    if lane.capability("extensions")[EXTENSION].is_null() {
        not_here(lane, "the server does not offer tasks");
        return Ok(());
    }
    // 47: first without saying that we know tasks.
    let stranger = lane.wire.request("tasks/cancel", json!({ "taskId": "unknown" }));
    code(lane, 47, &lane.wire.answer(&stranger, ANSWER).await?, -32021);
    // 45
    let unknown = ask(lane, "tasks/cancel", "no-such-task").await?;
    code(lane, 45, &unknown, -32602);

    let params = json!({ "name": lane.setup.tool.name, "arguments": lane.setup.tool.arguments,
        "_meta": { META: declared() } });
    let turn = lane.turn().await;
    let request = lane.wire.request("tools/call", params);
    let answer = lane.wire.answer(&request, ANSWER).await;
    drop(turn);
    let Some(task) = answer.ok().and_then(|a| a["result"]["taskId"].as_str().map(str::to_owned))
    else {
        lane.wire.cancel(&request, "no task");
        not_here(lane, "the server did not make a task of this tool");
        return Ok(());
    };
    // 49: the wrong cancel. The request is over; its id names nothing.
    lane.wire.send(&cancelled(json!({ "requestId": request.id })));
    lane.wire.fence().await?;
    sleep(Duration::from_millis(300)).await;
    let before = status(lane, &task).await?;
    match before.as_str() {
        "working" => lane.judge(49, Pass, "the task works on"),
        PARKED => lane.judge(49, Pass, "the task still waits for input"),
        other => lane.judge(49, Fail, format!("the task is {}", plain(other))),
    }
    // 43: the right one.
    let answer = ask(lane, "tasks/cancel", &task).await?;
    acknowledged(lane, 43, &answer);
    // 44
    let until = Instant::now() + STOP;
    let mut now = status(lane, &task).await?;
    let open = |now: &str| now == "working" || now == PARKED;
    while open(&now) && Instant::now() < until {
        sleep(Duration::from_millis(50)).await;
        now = status(lane, &task).await?;
    }
    // 48
    match (before.as_str(), open(&now)) {
        (PARKED, true) => {
            lane.judge(48, Fail, format!("{STOP:?} after its cancel it still waits for input"));
        }
        (PARKED, false) => lane.judge(48, Pass, format!("it is {}", plain(&now))),
        _ => {
            lane.judge(
                48,
                NotObservable,
                "this tool's task waits for no input: name one that does",
            );
        }
    }
    if open(&now) {
        lane.judge(44, Fail, format!("{STOP:?} after its cancel the task is still {now}"));
        not_here(lane, "no task has come to an end");
        return Ok(());
    }
    sleep(Duration::from_millis(200)).await;
    let later = status(lane, &task).await?;
    if later == now {
        lane.judge(44, Pass, format!("{} and stays so", plain(&now)));
    } else {
        lane.judge(44, Fail, format!("{} became {}", plain(&now), plain(&later)));
    }
    // 46: once more, in vain.
    let answer = ask(lane, "tasks/cancel", &task).await?;
    let after = status(lane, &task).await?;
    if after == later {
        acknowledged(lane, 46, &answer);
    } else {
        lane.judge(46, Fail, format!("{} became {}", plain(&later), plain(&after)));
    }
    Ok(())
}

fn declared() -> Value {
    json!({ "extensions": { EXTENSION: {} } })
}

async fn ask(lane: &Lane, method: &str, task: &str) -> anyhow::Result<Value> {
    let params = json!({ "taskId": task, "_meta": { META: declared() } });
    let request = lane.wire.request(method, params);
    lane.wire.answer(&request, ANSWER).await.with_context(|| format!("`{method}` failed"))
}

async fn status(lane: &Lane, task: &str) -> anyhow::Result<String> {
    let answer = ask(lane, "tasks/get", task).await?;
    match answer["result"]["status"].as_str() {
        Some(status) => Ok(status.to_owned()),
        None => bail!("`tasks/get` told no status: {answer}"),
    }
}

fn code(lane: &mut Lane, number: u32, answer: &Value, expected: i64) {
    match answer["error"]["code"].as_i64() {
        Some(code) if code == expected => lane.judge(number, Pass, format!("the error {code}")),
        Some(code) => lane.judge(number, Fail, format!("the error {code}")),
        None => lane.judge(number, Fail, "it was answered with a result"),
    }
}

/// The acknowledgement is empty but for its kind (and metadata, which any result may have).
fn acknowledged(lane: &mut Lane, number: u32, answer: &Value) {
    let mut result = answer["result"].clone();
    if let Some(fields) = result.as_object_mut() {
        fields.remove("_meta");
    }
    if result == json!({ "resultType": "complete" }) {
        lane.judge(number, Pass, "acknowledged");
    } else {
        lane.judge(number, Fail, format!("the answer was {}", plain(&answer.to_string())));
    }
}

fn not_here(lane: &mut Lane, why: &str) {
    for number in NUMBERS {
        lane.judge(number, NotApplicable, why);
    }
}

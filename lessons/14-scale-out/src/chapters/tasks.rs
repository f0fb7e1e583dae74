//! Tasks on all replicas: one works on a task, any other is asked about it. `tasks.rs` beside
//! this folder is the server's half.

use anyhow::{Result, ensure};
use futures::future::try_join_all;

use crate::stage::{LONG, Options, Rig, task};

const TRIES: usize = 20;

/// Plays the chapter.
pub async fn play(options: &Options) -> Result<()> {
    let rig = Rig::start(options, 3, options.manner()).await?;
    let front = &rig.balancer.url;

    // 1. Started through the round robin, looked at on every replica, cancelled through the round
    //    robin. Whether its work has stopped, the list of calls says.
    let cancels = (0..TRIES).map(async |_| {
        let id = task::start(front, LONG).await?;
        for replica in &rig.replicas {
            let status = task::status(&replica.url, &id).await?;
            ensure!(status == "working", "a task was cut short: it is `{status}`");
        }
        let error = task::cancel(front, &id).await?;
        ensure!(error.is_none(), "tasks/cancel on another replica was answered {error:?}");
        let mut statuses = Vec::new();
        for replica in &rig.replicas {
            statuses.push(task::ended(&replica.url, &id).await?.0);
        }
        Ok(statuses)
    });
    let statuses = try_join_all(cancels).await?;
    let held = statuses.iter().filter(|seen| seen.iter().all(|status| status == "cancelled"));
    let held = held.count();
    let stopped = rig.stopped().await?;
    println!("🛑 {held} of {TRIES} tasks are `cancelled` on all three replicas");
    println!("   servers: {stopped} of {TRIES} stopped working");
    ensure!(held == TRIES, "a cancelled task ended otherwise: {statuses:?}");
    ensure!(stopped == TRIES, "only {stopped} of {TRIES} cancelled tasks stopped working");

    // 2. Left alone, a task is fetched wherever one asks. A cancel that comes too late is
    //    acknowledged and changes nothing.
    let fetched = (0..TRIES).map(async |_| {
        let id = task::start(front, 2).await?;
        let mut results = Vec::new();
        for replica in &rig.replicas {
            let (status, answer) = task::ended(&replica.url, &id).await?;
            let late = task::cancel(front, &id).await?;
            ensure!(late.is_none(), "a cancel that came too late was answered {late:?}");
            ensure!(status == "completed", "a task that nobody cancelled is `{status}`");
            let rows = answer["result"]["result"]["structuredContent"]["rows"].clone();
            results.push(rows);
        }
        Ok(results)
    });
    let fetched = try_join_all(fetched).await?;
    let same = fetched.iter().filter(|rows| rows.iter().all(|rows| *rows == 1000));
    let same = same.count();
    println!("📁 {same} of {TRIES} tasks have the same result on all three replicas");
    ensure!(same == TRIES, "a task has no result, or not the same everywhere: {fetched:?}");

    // 3. An id that nobody has made.
    let error = task::cancel(front, "no-such-task").await?;
    println!("   tasks/cancel for an unknown task: error {}", error.unwrap_or_default());
    ensure!(error == Some(-32602), "the cancel of an unknown task was answered {error:?}");

    // 4. What a task costs the engine.
    if let Some(engine) = rig.engine.as_ref().filter(|engine| engine.is_own()) {
        let before = engine.usage().await?;
        let id = task::start(front, LONG).await?;
        task::cancel(front, &id).await?;
        task::ended(front, &id).await?;
        engine.usage().await?.print_since(
            &before,
            "📊 a task, cancelled at once, and looked at",
            1,
        );
    }
    Ok(())
}

//! 2026-07-28: the closed stream is the cancel. It ends at the replica that runs the call, so no
//! bus is needed, if every proxy on the way passes it on.

use anyhow::{Result, ensure};
use futures::future::{try_join, try_join_all};
use serde_json::{Value, json};
use shared::calls::{CallRecord, State};
use shared::client::{PATIENCE, Patience};

use crate::stage::proxy::{
    Config, HAPROXY, HAPROXY_ABORTONCLOSE, NGINX, NGINX_IGNORE_ABORT, Proxy,
};
use crate::stage::replicas::{Replica, count};
use crate::stage::wire::Caller;
use crate::stage::{LONG, Options, Rig};

/// So many callers, each with its calls one after another.
const AT_ONCE: usize = 10;
/// How many calls are tried with each configuration.
const TRIES: usize = 5;
/// Work of 2.5 s. What has not stopped by then never does.
const STEPS: u32 = 100;

/// What is expected of a proxy, measured once and held since.
const PROXIES: [(Config, [bool; 2]); 4] = [
    (NGINX, [true, true]),
    (NGINX_IGNORE_ABORT, [false, true]),
    (HAPROXY, [false, true]),
    (HAPROXY_ABORTONCLOSE, [true, true]),
];

/// What a proxy made of closed streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Observed {
    /// How many silent calls stopped.
    silent: usize,
    /// How many calls stopped that reported progress.
    reporting: usize,
}

/// Plays the chapter.
pub async fn play(options: &Options) -> Result<()> {
    closed(options).await?;
    for (config, expected) in PROXIES {
        if !config.is_installed() {
            let claim = format!("closing a stream through {}", config.file);
            options.skip(&claim, &format!("`apt-get install {}`", config.program));
            continue;
        }
        let seen = observe(options, config).await?;
        let Observed { silent, reporting } = seen;
        println!(
            "🔀 {}: {silent} of {TRIES} silent calls stop, {reporting} of {TRIES} that report progress",
            config.file
        );
        for (what, stopped, wanted) in [
            ("silent calls", seen.silent, expected[0]),
            ("calls that report progress", seen.reporting, expected[1]),
        ] {
            let wanted = if wanted { TRIES } else { 0 };
            let file = config.file;
            ensure!(stopped == wanted, "{file}: {stopped} of {TRIES} {what} stopped, not {wanted}");
        }
    }
    Ok(())
}

/// 200 closed streams, through the round robin. A wrong balancer is found out by 20.
async fn closed(options: &Options) -> Result<()> {
    let each = if options.wrong.is_some() { 2 } else { 20 };
    let rig = Rig::start(options, 3, options.manner()).await?;
    let callers = (0..AT_ONCE).map(async |n| {
        let caller = Caller::without_session(&rig.balancer.url)?;
        for call in 0..each {
            let id = Value::from(format!("{n}-{call}"));
            let mut events = caller.work(&id, LONG).await?;
            events.runs().await?;
            drop(events);
        }
        anyhow::Ok(())
    });
    try_join_all(callers).await?;
    let mut stopped = 0;
    for replica in &rig.replicas {
        let calls = replica.calls_when_ended().await?;
        stopped += count(&calls, State::Cancelled);
    }
    let all = AT_ONCE * each;
    println!("🛑 {stopped} of {all} streams closed through a round robin stop the work");
    ensure!(stopped == all, "{} of {all} closed streams did not stop the work", all - stopped);
    Ok(())
}

/// What this proxy makes of closed streams.
async fn observe(options: &Options, config: Config) -> Result<Observed> {
    let rig = Rig::start(options, 2, options.manner()).await?;
    let proxy = Proxy::start(config, &rig.replicas).await?;
    let caller = Caller::without_session(&proxy.url)?;
    let silent = try_join_all((0..TRIES).map(|n| close_silent(&caller, &rig.replicas, n)));
    let reporting = try_join_all((0..TRIES).map(async |n| {
        let mut events = caller.work(&id("reporting", n), STEPS).await?;
        events.runs().await
    }));
    try_join(silent, reporting).await?;
    let mut calls = Vec::new();
    for replica in &rig.replicas {
        calls.extend(replica.calls_when_ended().await?);
    }
    proxy.end().await?;
    let stopped = |kind: &str| {
        let of_kind = |call: &&CallRecord| call.request_id.to_string().starts_with(kind);
        let calls = calls.iter().filter(of_kind);
        calls.filter(|call| call.state == State::Cancelled).count()
    };
    let (silent, reporting) = (stopped("silent"), stopped("reporting"));
    Ok(Observed { silent, reporting })
}

fn id(kind: &str, number: usize) -> Value {
    Value::from(format!("{kind}-{number}"))
}

/// A silent call has no response yet, not even a head. Its client hangs up when it runs.
async fn close_silent(caller: &Caller, replicas: &[Replica], number: usize) -> Result<()> {
    let id = id("silent", number);
    tokio::select! {
        answer = caller.silent_work(&id, STEPS) => {
            anyhow::bail!("a silent call was answered: {}", answer?.status())
        }
        runs = runs_somewhere(replicas, &id) => runs,
    }
}

async fn runs_somewhere(replicas: &[Replica], id: &Value) -> Result<()> {
    let mut patience = Patience::of(PATIENCE);
    while patience.lasts().await {
        for replica in replicas {
            if replica.calls().await?.iter().any(|call| json!(call.request_id) == *id) {
                return Ok(());
            }
        }
    }
    anyhow::bail!("a call never reached a replica")
}

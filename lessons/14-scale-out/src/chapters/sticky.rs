//! Affinity: the balancer sends a session's requests to one replica. It needs no code, but the
//! obvious way, a hash of the session's id, does not work alone: the request that opens the
//! session has no id yet.

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use reqwest::StatusCode;

use crate::flaw::Flaw;
use crate::replica::Manner;
use crate::stage::proxy::{Config, HAPROXY_HASH, HAPROXY_STICK, NGINX_HASH, Proxy};
use crate::stage::wire::Caller;
use crate::stage::{LONG, Options, Rig};

/// With fewer, chance could keep them all.
const SESSIONS: usize = 40;
/// How many cancels are tried, each in a session of its own.
const CANCELS: usize = 20;

/// Plays the chapter.
pub async fn play(options: &Options) -> Result<()> {
    for config in [NGINX_HASH, HAPROXY_HASH] {
        if !there(config, options) {
            continue;
        }
        // 1. The hash alone: sessions are opened on one replica and looked for on another.
        let alone = Manner { flaw: Some(Flaw::NoStore), ..options.manner() };
        let rig = Rig::start(options, 2, alone).await?;
        let proxy = Proxy::start(config, &rig.replicas).await?;
        let lost = lost_sessions(&proxy.url).await?;
        println!("🔀 {}, no store: {lost} of {SESSIONS} sessions answer 404", config.file);
        ensure!(lost > 0, "{}: a hash alone has lost no session", config.file);
        proxy.end().await?;

        // 2. The same hash with shared sessions: the first request with the id restores the
        //    session where the hash wants it, and there it stays. No bus is needed.
        let flaw = options.wrong.or(Some(Flaw::NoBus));
        let rig = Rig::start(options, 2, Manner { flaw, ..options.manner() }).await?;
        let proxy = Proxy::start(config, &rig.replicas).await?;
        let lost = lost_sessions(&proxy.url).await?;
        ensure!(lost == 0, "{}: {lost} of {SESSIONS} sessions were lost", config.file);
        let stopped = cancels(&proxy.url, &rig).await?;
        println!("   with a session store: none; {stopped} of {CANCELS} cancels stop the work");
        ensure!(stopped == CANCELS, "{}: only {stopped} cancels held", config.file);
        proxy.end().await?;
    }

    // 3. haproxy can read the id in the response that brings it, and remember who sent it.
    if there(HAPROXY_STICK, options) {
        let flaw = options.wrong.or(Some(Flaw::NoStore));
        let rig = Rig::start(options, 2, Manner { flaw, ..options.manner() }).await?;
        let proxy = Proxy::start(HAPROXY_STICK, &rig.replicas).await?;
        let lost = lost_sessions(&proxy.url).await?;
        ensure!(lost == 0, "the stick-table lost {lost} of {SESSIONS} sessions");
        let stopped = cancels(&proxy.url, &rig).await?;
        println!("🔀 {}, no store: no session is lost", HAPROXY_STICK.file);
        println!("   {stopped} of {CANCELS} cancels stop the work");
        ensure!(stopped == CANCELS, "the stick-table held only {stopped} of {CANCELS} cancels");
        proxy.end().await?;
    }
    Ok(())
}

fn there(config: Config, options: &Options) -> bool {
    if !config.is_installed() {
        let why = format!("`apt-get install {}`", config.program);
        options.skip(&format!("affinity with {}", config.file), &why);
    }
    config.is_installed()
}

/// How many sessions are not known when their second request comes.
async fn lost_sessions(url: &str) -> Result<usize> {
    let opened = (0..SESSIONS).map(async |_| Caller::open(url).await?.initialized().await);
    let statuses = try_join_all(opened).await?;
    Ok(statuses.iter().filter(|status| **status == StatusCode::NOT_FOUND).count())
}

/// How many cancels stop their calls. The replicas say it.
async fn cancels(url: &str, rig: &Rig) -> Result<usize> {
    let tries = (0..CANCELS).map(async |_| {
        let caller = Caller::session(url).await?;
        let mut events = caller.work(&1u32.into(), LONG).await?;
        events.runs().await?;
        let status = caller.cancel(&1u32.into()).await?;
        ensure!(status == StatusCode::ACCEPTED, "a cancel was answered {status}");
        events.is_cancelled().await
    });
    try_join_all(tries).await?;
    rig.stopped().await
}

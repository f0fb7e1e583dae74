//! Lesson 12: nobody cancels what is not theirs, and nobody exhausts the server.
//!
//! A victim has a call at work. Strangers attack it, one after the other: with the ids of others,
//! with cancels that name nothing, with more than a server can hold. After each attack the story
//! asks the server whether the victim's call still runs.
//!
//! `ids.rs` has the attacks on what belongs to others, `floods.rs` those on the server itself. On
//! stdio a server has one client: what is left are attacks on its own other calls.

mod attacker;
mod floods;
mod ids;

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, ensure};
use course::lesson::{Lesson, Protocol, Transport};
use course::narrate::outcome;
use course::stage::Stage;
use futures::future::{BoxFuture, try_join, try_join_all};
use hosting::layer::Server;
use shared::calls::State;
use shared::server::{MAX_STEPS, Setup};
use tasks::tools::TaskServer;
use tasks_extension::store::Limits;
use tokio::time::Duration;

use attacker::{Attacker, Sent};

/// Lesson 12.
pub const LESSON: Lesson = Lesson {
    number: 12,
    name: "isolate",
    title: "Nobody cancels what is not theirs, nobody exhausts the server",
    transports: &[Transport::Http, Transport::Stdio],
    protocols: &[Protocol::V2025, Protocol::V2026],
    server: |setup| {
        // A long step: the calls of a flood should wait, and not work.
        let tick = setup.tick.max(Duration::from_millis(500));
        Ok(Server::new(TaskServer::new(Setup { tick, ..setup }, Limits::default())?))
    },
    story: |stage| Box::pin(story(stage)),
    chapters: &[],
    exercise: None,
};

/// A transport, and a revision.
pub type Way = (Transport, Protocol);

/// An attack. It fails, with a sentence, if it succeeds.
pub struct Attack {
    /// What it is called.
    pub name: &'static str,
    /// Where it is possible.
    pub on: &'static [Way],
    /// Attacks, and says how the server withstood.
    pub play: for<'a> fn(&'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<String>>,
}

const HTTP: &[Way] = &[(Transport::Http, Protocol::V2025), (Transport::Http, Protocol::V2026)];
const STDIO: &[Way] = &[(Transport::Stdio, Protocol::V2025), (Transport::Stdio, Protocol::V2026)];
const EVERYWHERE: &[Way] = &[HTTP[0], HTTP[1], STDIO[0], STDIO[1]];
/// Cancels that are messages: on HTTP 2026-07-28 the closed stream is the cancel.
const MESSAGES: &[Way] = &[HTTP[0], STDIO[0], STDIO[1]];
const INITIALIZE: &[Way] = &[HTTP[0], STDIO[0]];
const SESSIONS: &[Way] = &[HTTP[0]];
const TASKS: &[Way] = &[HTTP[1]];

/// All attacks.
pub const ATTACKS: [Attack; 18] = [
    Attack { name: "same ids", on: HTTP, play: |scene| Box::pin(ids::same(scene)) },
    Attack { name: "guessed ids", on: HTTP, play: |scene| Box::pin(ids::guessed(scene)) },
    Attack { name: "other type", on: MESSAGES, play: |scene| Box::pin(ids::other_type(scene)) },
    Attack { name: "guessed sessions", on: SESSIONS, play: |scene| Box::pin(ids::sessions(scene)) },
    Attack { name: "guessed tasks", on: TASKS, play: |scene| Box::pin(ids::tasks(scene)) },
    Attack { name: "initialize", on: INITIALIZE, play: |scene| Box::pin(ids::initialize(scene)) },
    Attack { name: "unknown ids", on: EVERYWHERE, play: |scene| Box::pin(ids::unknown(scene)) },
    Attack { name: "early cancel", on: MESSAGES, play: |scene| Box::pin(ids::early(scene)) },
    Attack { name: "cancel twice", on: MESSAGES, play: |scene| Box::pin(ids::twice(scene)) },
    Attack { name: "duplicate ids", on: MESSAGES, play: |scene| Box::pin(ids::duplicate(scene)) },
    Attack { name: "many calls", on: SESSIONS, play: |scene| Box::pin(floods::calls(scene)) },
    Attack { name: "many sessions", on: SESSIONS, play: |scene| Box::pin(floods::sessions(scene)) },
    Attack { name: "many tasks", on: TASKS, play: |scene| Box::pin(floods::tasks(scene)) },
    Attack { name: "big body", on: HTTP, play: |scene| Box::pin(floods::big_body(scene)) },
    Attack { name: "foreign origin", on: HTTP, play: |scene| Box::pin(floods::origin(scene)) },
    Attack { name: "foreign host", on: HTTP, play: |scene| Box::pin(floods::host(scene)) },
    Attack { name: "long reason", on: MESSAGES, play: |scene| Box::pin(floods::reason(scene)) },
    Attack { name: "slow body", on: HTTP, play: |scene| Box::pin(floods::slow_body(scene)) },
];

/// The request id of the victim's call.
const VICTIM: u32 = 1;
/// Cancels for ids that no call has.
const FLOOD: u32 = 10_000;
/// The end of an attack that no limit stops.
const NO_END: usize = 1100;

/// The victim at work, and the server that it shares with the attackers.
pub struct Scene<'a> {
    stage: &'a Stage,
    victim: Attacker,
    /// The server's own number of the victim's call.
    number: u64,
    call: Sent,
    /// So many cancels come for ids that no call has.
    pub flood: u32,
    /// So many sessions or tasks that are not refused show that there is no limit.
    pub no_end: usize,
    strangers: Mutex<Vec<Attacker>>,
}

impl<'a> Scene<'a> {
    /// A victim whose call is at work.
    pub async fn set(stage: &'a Stage) -> anyhow::Result<Self> {
        let mut victim = Attacker::new(stage)?;
        victim.open().await?;
        let before = victim.newest().await?;
        let call = victim.start(&victim.call(VICTIM, MAX_STEPS)).await?;
        let number = victim.newer_than(before).await?;
        let strangers = Mutex::default();
        Ok(Self { stage, victim, number, call, flood: FLOOD, no_end: NO_END, strangers })
    }

    /// A stranger, with a session of its own if there are sessions. On stdio there are no strangers:
    /// the victim's own client attacks.
    pub(crate) async fn attacker(&self) -> anyhow::Result<Attacker> {
        if self.stage.transport == Transport::Stdio {
            return Ok(self.victim.clone());
        }
        let mut attacker = Attacker::new(self.stage)?;
        attacker.open().await?;
        self.strangers().push(attacker.clone());
        Ok(attacker)
    }

    fn strangers(&self) -> MutexGuard<'_, Vec<Attacker>> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plays one attack, and asks the server about the victim's call.
    pub async fn survives(&self, attack: &Attack) -> anyhow::Result<()> {
        let said = self.play(attack).await?;
        self.victim_runs_after(attack, &said).await
    }

    async fn play(&self, attack: &Attack) -> anyhow::Result<String> {
        (attack.play)(self).await.context(attack.name)
    }

    async fn victim_runs_after(&self, attack: &Attack, said: &str) -> anyhow::Result<()> {
        let calls = self.victim.calls().await.context(attack.name)?;
        let call = calls.iter().find(|call| call.call == self.number).context("no such call")?;
        let (name, hit) = (attack.name, outcome(call));
        ensure!(call.state == State::Running, "{name}: the victim's call was hit: {hit}");
        println!("🛡️  {:17} {said}", attack.name);
        // A session that nobody ends stays for five minutes. These have done their work.
        let strangers = std::mem::take(&mut *self.strangers());
        for stranger in strangers {
            stranger.end().await?;
        }
        Ok(())
    }

    /// What is theirs they can still cancel, and their next call is served.
    pub async fn end(self) -> anyhow::Result<()> {
        if self.stage.cancels_by_message() {
            self.victim.cancel(VICTIM).await?;
        }
        drop(self.call);
        let call = self.victim.ended(self.number).await?;
        ensure!(call.state == State::Cancelled, "the victim cannot cancel: {}", outcome(&call));
        println!("🙂 the victim cancels its own call: {}", outcome(&call));
        self.victim.is_served(2).await.context("the victim's next call")?;
        println!("   and its next call is served");
        self.victim.end().await
    }
}

/// The lesson. Read the attacks from top to bottom.
pub async fn story(stage: &Stage) -> anyhow::Result<()> {
    let scene = Scene::set(stage).await?;
    println!("📁 the victim's call has the request id {VICTIM}");
    let here = |attack: &&Attack| attack.on.contains(&(stage.transport, stage.protocol));
    // A slow body only waits, so all others come in the meantime.
    let (slow, others): (Vec<_>, Vec<_>) =
        ATTACKS.iter().filter(here).partition(|attack| attack.name == "slow body");
    let waited = try_join_all(slow.iter().map(|attack| scene.play(attack)));
    let attacked = async {
        for attack in others {
            scene.survives(attack).await?;
        }
        Ok(())
    };
    let (said, ()) = try_join(waited, attacked).await?;
    for (attack, said) in slow.into_iter().zip(said) {
        scene.victim_runs_after(attack, &said).await?;
    }
    scene.end().await
}

//! Lesson 12: nobody cancels what is not theirs, and nobody exhausts the server.
//!
//! A victim has a call at work. Strangers attack it, one after the other: with the ids of others,
//! with cancels that name nothing, with more than a server can hold. After each attack the story
//! asks the server whether the victim's call still runs.
//!
//! `ids.rs` has the attacks on what belongs to others, `floods.rs` those on the server itself.

pub mod attacker;
pub mod floods;
pub mod ids;

use anyhow::{Context, ensure};
use course::lesson::{Lesson, Protocol, Transport};
use course::narrate::outcome;
use course::stage::Stage;
use futures::future::BoxFuture;
use hosting::layer::Server;
use rmcp::RoleClient;
use rmcp::model::RequestId;
use rmcp::service::{PeerRequestOptions, RequestHandle};
use serde_json::json;
use shared::calls::State;
use shared::client::{Client, tool_call};
use shared::server::{MAX_STEPS, Setup};
use tasks::tools::TaskServer;
use tokio::time::Duration;

use attacker::Attacker;

/// Lesson 12.
pub const LESSON: Lesson = Lesson {
    number: 12,
    name: "isolate",
    title: "Nobody cancels what is not theirs, nobody exhausts the server",
    transports: &[Transport::Http],
    protocols: &[Protocol::V2025, Protocol::V2026],
    server: |setup| {
        // A long step: the calls of a flood should wait, and not work.
        let tick = setup.tick.max(Duration::from_secs(1));
        Ok(Server::new(TaskServer::new(Setup { tick, ..setup })?))
    },
    story: |stage| Box::pin(story(stage)),
    chapters: &[],
    exercise: None,
};

/// An attack. It fails, with a sentence, if it succeeds.
pub struct Attack {
    /// What it is called.
    pub name: &'static str,
    /// The revisions in which it is possible.
    pub on: &'static [Protocol],
    /// Attacks, and says how the server withstood.
    pub play: for<'a> fn(&'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<String>>,
}

const BOTH: &[Protocol] = &[Protocol::V2025, Protocol::V2026];
/// A session, and cancels that are messages: on HTTP 2026-07-28 there are neither.
const SESSIONS: &[Protocol] = &[Protocol::V2025];
const TASKS: &[Protocol] = &[Protocol::V2026];

/// All attacks.
pub const ATTACKS: [Attack; 18] = [
    Attack { name: "same ids", on: BOTH, play: |scene| Box::pin(ids::same(scene)) },
    Attack { name: "guessed ids", on: BOTH, play: |scene| Box::pin(ids::guessed(scene)) },
    Attack { name: "other type", on: SESSIONS, play: |scene| Box::pin(ids::other_type(scene)) },
    Attack { name: "guessed sessions", on: SESSIONS, play: |scene| Box::pin(ids::sessions(scene)) },
    Attack { name: "guessed tasks", on: TASKS, play: |scene| Box::pin(ids::tasks(scene)) },
    Attack { name: "initialize", on: SESSIONS, play: |scene| Box::pin(ids::initialize(scene)) },
    Attack { name: "unknown ids", on: BOTH, play: |scene| Box::pin(ids::unknown(scene)) },
    Attack { name: "early cancel", on: SESSIONS, play: |scene| Box::pin(ids::early(scene)) },
    Attack { name: "cancel twice", on: SESSIONS, play: |scene| Box::pin(ids::twice(scene)) },
    Attack { name: "duplicate ids", on: SESSIONS, play: |scene| Box::pin(ids::duplicate(scene)) },
    Attack { name: "many calls", on: SESSIONS, play: |scene| Box::pin(floods::calls(scene)) },
    Attack { name: "many sessions", on: SESSIONS, play: |scene| Box::pin(floods::sessions(scene)) },
    Attack { name: "many tasks", on: TASKS, play: |scene| Box::pin(floods::tasks(scene)) },
    Attack { name: "big body", on: BOTH, play: |scene| Box::pin(floods::big_body(scene)) },
    Attack { name: "slow body", on: BOTH, play: |scene| Box::pin(floods::slow_body(scene)) },
    Attack { name: "foreign origin", on: BOTH, play: |scene| Box::pin(floods::origin(scene)) },
    Attack { name: "foreign host", on: BOTH, play: |scene| Box::pin(floods::host(scene)) },
    Attack { name: "long reason", on: SESSIONS, play: |scene| Box::pin(floods::reason(scene)) },
];

/// The victim at work, and the server that it shares with the attackers.
pub struct Scene<'a> {
    /// Where the story is played.
    pub stage: &'a Stage,
    /// The victim's connection.
    pub victim: Client,
    /// The request id of the victim's call.
    pub id: RequestId,
    /// The server's own number of the victim's call.
    pub number: u64,
    call: RequestHandle<RoleClient>,
}

impl<'a> Scene<'a> {
    /// A victim whose call is at work.
    pub async fn set(stage: &'a Stage) -> anyhow::Result<Self> {
        let victim = stage.connect().await?;
        let mut progress = victim.progress();
        let arguments = json!({ "filename": "large_dataset.csv", "processing_time": MAX_STEPS });
        let call = tool_call("process_large_file", arguments);
        let call = victim.send_cancellable_request(call, PeerRequestOptions::no_options()).await?;
        progress.next_of(&call.progress_token).await?;
        let number = victim.newest("process_large_file").await?;
        Ok(Self { stage, id: call.id.clone(), number, call, victim })
    }

    /// A stranger, with a session of its own if there are sessions.
    pub async fn attacker(&self) -> anyhow::Result<Attacker> {
        let mut attacker = Attacker::new(self.stage.url()?, self.stage.protocol);
        attacker.open().await?;
        Ok(attacker)
    }

    /// Plays one attack, and asks the server about the victim's call.
    pub async fn survives(&self, attack: &Attack) -> anyhow::Result<()> {
        let said = (attack.play)(self).await.context(attack.name)?;
        let call = self.victim.ask(self.number).await.context(attack.name)?;
        ensure!(
            call.state == State::Running,
            "{}: the victim's call was hit: {}",
            attack.name,
            outcome(&call)
        );
        println!("🛡️  {:17} {said}", attack.name);
        Ok(())
    }

    /// What is theirs they can still cancel, and their next call is served.
    pub async fn end(self) -> anyhow::Result<()> {
        self.call.cancel(Some("the victim itself".to_owned())).await?;
        let call = self.victim.ask_until_ended(self.number).await?;
        ensure!(call.state == State::Cancelled, "the victim cannot cancel: {}", outcome(&call));
        println!("🙂 the victim cancels its own call: {}", outcome(&call));
        let next = json!({ "filename": "part_0.csv", "processing_time": 1 });
        self.victim.call("process_large_file", next).await.context("the victim's next call")?;
        println!("   and its next call is served");
        self.victim.close().await
    }
}

/// The lesson. Read the attacks from top to bottom.
pub async fn story(stage: &Stage) -> anyhow::Result<()> {
    let scene = Scene::set(stage).await?;
    println!("📁 the victim's call has the request id {}", scene.id);
    for attack in ATTACKS.iter().filter(|attack| attack.on.contains(&stage.protocol)) {
        scene.survives(attack).await?;
    }
    scene.end().await
}

//! Lesson 8: clients that vanish.
//!
//! A client that cancels tells its server. A client that is killed tells nobody, and one that only
//! waits has nothing to tell. Each chapter has a client of one of these kinds, and then looks at
//! what the server made of its call.

#[path = "../exercise/check.rs"]
pub mod check;
mod exercise;
pub mod idle;
pub mod killed;
mod program;

use std::time::Duration;

use anyhow::Context;
use course::lesson::{Chapter, Lesson, Protocol, Transport};
use course::stage::Stage;
use hosting::layer::Server;
use shared::server::FileServer;

/// Lesson 8.
pub const LESSON: Lesson = Lesson {
    number: 8,
    name: "vanished",
    title: "Clients that vanish: killed, or idle",
    transports: &[Transport::Http, Transport::Stdio],
    protocols: &[Protocol::V2025, Protocol::V2026],
    server: |setup| Ok(Server::new(FileServer::new(setup))),
    story: |stage| Box::pin(story(stage)),
    chapters: &[KILLED, IDLE, VICTIM],
    exercise: Some(&check::EXERCISE),
};

const KILLED: Chapter = Chapter {
    name: "killed",
    title: "A client is killed: does its server notice?",
    in_story: true,
    story: |stage| Box::pin(killed::killed(stage)),
};

const IDLE: Chapter = Chapter {
    name: "idle",
    title: "An idle session takes its silent call with it (HTTP 2025-11-25)",
    in_story: true,
    story: |stage| Box::pin(idle::idle(stage, keep_alive(stage))),
};

/// The client that the chapter `killed` starts, as a process of its own. Not for people.
const VICTIM: Chapter = Chapter {
    name: "victim",
    title: "",
    in_story: false,
    story: |stage| Box::pin(killed::victim(stage)),
};

/// The whole lesson: what there is of it on this transport and revision.
async fn story(stage: &Stage) -> anyhow::Result<()> {
    let has_sessions = (stage.transport, stage.protocol) == (Transport::Http, Protocol::V2025);
    for chapter in [KILLED, IDLE] {
        if chapter.name == IDLE.name && (!has_sessions || stage.foreign) {
            continue;
        }
        println!("\n📖 {}: {}", chapter.name, chapter.title);
        (chapter.story)(stage).await.with_context(|| format!("chapter {}", chapter.name))?;
    }
    Ok(())
}

/// How long the sessions of the chapter `idle` may be silent: longer than a step of work.
fn keep_alive(stage: &Stage) -> Duration {
    (stage.tick * 3).max(Duration::from_secs(1))
}

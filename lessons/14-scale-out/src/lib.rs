//! Lesson 14: several replicas, and a cancel that finds the one that runs the call.
//!
//! Behind a load balancer, `notifications/cancelled` lands on any replica. This lesson shows how
//! it gets lost, and the cure: a record that all replicas share, and a bell.
//!
//! The server's half: [`store`] is what the replicas share, [`redis`] and [`memory`] are two ways
//! to have it, [`sessions`], [`watched`] and [`tasks`] use it, [`replica`] puts it together. The client's half
//! is in [`chapters`], each a story of its own, played on a [`stage`].

pub mod chapters;
pub mod flaw;
pub mod memory;
pub mod redis;
pub mod replica;
pub mod sessions;
pub mod stage;
pub mod store;
pub mod tasks;
pub mod watched;

use anyhow::Context;
use course::lesson::{Lesson, Protocol, Transport};
use hosting::layer::Server;
use shared::server::FileServer;

use stage::Options;

/// Lesson 14. Its program has a command line of its own: replicas have more options than servers
/// of other lessons.
pub const LESSON: Lesson = Lesson {
    number: 14,
    name: "scale-out",
    title: "Several replicas: the cancel finds the one that runs the call",
    transports: &[Transport::Http],
    protocols: &[Protocol::V2025, Protocol::V2026],
    server: |setup| Ok(Server::new(FileServer::new(setup))),
    story: |_| Box::pin(async { story(&Options::default()).await }),
    chapters: &[],
    exercise: None,
};

/// All chapters, one after the other.
pub async fn story(options: &Options) -> anyhow::Result<()> {
    for chapter in &chapters::ALL {
        println!("\n── {}: {}", chapter.name, chapter.title);
        (chapter.play)(options).await.with_context(|| format!("chapter {}", chapter.name))?;
    }
    Ok(())
}

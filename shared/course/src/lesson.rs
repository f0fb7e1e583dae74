//! What a lesson is.

use std::fmt;

use clap::ValueEnum;
use futures::future::BoxFuture;
use hosting::layer::Server;
use shared::server::Setup;

use crate::exercise::Exercise;
use crate::stage::Stage;

/// A lesson, as the command line and the tour know it.
#[derive(Clone, Copy)]
pub struct Lesson {
    /// Its place in the course.
    pub number: u32,
    /// The package's name.
    pub name: &'static str,
    /// What the lesson shows, in one line.
    pub title: &'static str,
    /// The transports it runs on.
    pub transports: &'static [Transport],
    /// The protocol revisions it runs on; the first is the default.
    pub protocols: &'static [Protocol],
    /// Makes the lesson's server.
    pub server: fn(Setup) -> anyhow::Result<Server>,
    /// Plays the lesson.
    pub story: Story,
    /// The parts of the story that can be played alone, if it has any.
    pub chapters: &'static [Chapter],
    /// What to write yourself, if the lesson has that.
    pub exercise: Option<&'static Exercise>,
}

/// A story to play.
pub type Story = for<'a> fn(&'a Stage) -> BoxFuture<'a, anyhow::Result<()>>;

/// A part of a lesson that can be played alone: `cargo run -p LESSON -- CHAPTER`.
#[derive(Clone, Copy)]
pub struct Chapter {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it shows, in one line. Without a title it is not listed: a second process that a
    /// chapter starts.
    pub title: &'static str,
    /// Whether the chapter belongs to the whole story. One that waits for a person does not.
    pub in_story: bool,
    /// Plays the chapter.
    pub story: Story,
}

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// Streamable HTTP.
    Http,
    /// Standard input and output of a child process.
    Stdio,
}

/// A revision of the Model Context Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Sessions, opened by `initialize`; a cancel is always a notification.
    #[value(name = "2025-11-25")]
    V2025,
    /// No sessions; on HTTP, closing the response stream is the cancel.
    #[value(name = "2026-07-28")]
    V2026,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Stdio => "stdio",
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2025 => "2025-11-25",
            Self::V2026 => "2026-07-28",
        })
    }
}

//! What a lesson is.

use futures::future::BoxFuture;
use hosting::layer::Server;
use shared::server::Setup;

use crate::exercise::Exercise;
use crate::stage::Stage;
pub use crate::way::{Protocol, Transport};

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

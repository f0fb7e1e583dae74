//! The chapters. Each has a stage of its own, so each can be played alone.

pub mod bus;
pub mod engine;
pub mod killed;
pub mod lost;
pub mod sticky;
pub mod stream;
pub mod tasks;

use std::time::Duration;

use anyhow::Result;
use futures::future::BoxFuture;

use crate::stage::Options;

/// A part of the lesson.
pub struct Chapter {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// Plays it.
    pub play: for<'a> fn(&'a Options) -> BoxFuture<'a, Result<()>>,
}

/// All chapters, in the order in which they build on one another.
pub const ALL: [Chapter; 7] = [
    Chapter {
        name: "lost",
        title: "2025-11-25 behind a round robin: 202, and the work runs on",
        play: |options| Box::pin(lost::play(options)),
    },
    Chapter {
        name: "sticky",
        title: "Affinity: a hash alone loses sessions, with a session store it holds",
        play: |options| Box::pin(sticky::play(options)),
    },
    Chapter {
        name: "bus",
        title: "The cure: record the cancel first, then ring for all replicas",
        play: |options| Box::pin(bus::play(options)),
    },
    Chapter {
        name: "stream",
        title: "2026-07-28: which proxies pass on that a stream was closed",
        play: |options| Box::pin(stream::play(options)),
    },
    Chapter {
        name: "tasks",
        title: "A task is cancelled, looked at and fetched on any replica",
        play: |options| Box::pin(tasks::play(options)),
    },
    Chapter {
        name: "killed",
        title: "The owner of a task dies, or sleeps past its lease",
        play: |options| Box::pin(killed::play(options)),
    },
    Chapter {
        name: "engine",
        title: "The engine restarts in mid-work, and is down for a while",
        play: |options| Box::pin(engine::play(options)),
    },
];

/// The time in the middle, in milliseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

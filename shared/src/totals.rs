//! What a server has done since it started, in numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::note::{CallNote, Cause, State};

/// Counts of calls. At any time, `started` is the sum of those that run, finished, failed or were
/// cancelled: each count is changed together with the record that it counts, under one lock.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Calls that have started.
    pub started: u64,
    /// Those that run now.
    pub running: u64,
    /// Those that finished.
    pub finished: u64,
    /// Those that failed, panicked or were aborted.
    pub failed: u64,
    /// Those that stopped because they were told to, by the name of the cause.
    pub cancelled: BTreeMap<&'static str, u64>,
    /// How long calls took to end that were told to stop.
    pub stops: Stops,
}

/// The times from "stop" to the end of a call, however it ended.
#[derive(Debug, Clone, Default)]
pub struct Stops {
    /// How many took at most as long as the bound of the same place in [`Stops::BOUNDS`].
    pub within: [u64; Stops::BOUNDS.len()],
    /// How many there were.
    pub count: u64,
    /// All times together, in seconds.
    pub sum: f64,
}

impl Stops {
    /// The bounds, in seconds.
    pub const BOUNDS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

    fn add(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        for (count, bound) in self.within.iter_mut().zip(Self::BOUNDS) {
            *count += u64::from(took <= bound);
        }
        self.count += 1;
        self.sum += took;
    }
}

impl Totals {
    /// A call starts. Returns how many have started.
    pub(crate) fn start(&mut self) -> u64 {
        self.running += 1;
        self.started += 1;
        self.started
    }

    /// A call has ended in this state.
    pub(crate) fn end(&mut self, state: State, note: &CallNote) {
        self.running -= 1;
        match state {
            State::Finished => self.finished += 1,
            State::Cancelled => {
                let cause = note.cause().map_or("unknown", Cause::name);
                *self.cancelled.entry(cause).or_default() += 1;
            }
            State::Running | State::Failed => self.failed += 1,
        }
        if let Some(told) = note.cancelled_at() {
            self.stops.add(told.elapsed());
        }
    }
}

//! What the tests share. Everything here panics where a test should fail.
#![allow(missing_docs, reason = "the names say it, and only tests read them")]
#![allow(clippy::missing_panics_doc, reason = "panicking is how a test fails")]

pub mod exercise;
pub mod hosted;
pub mod layers;
pub mod newman;
pub mod process;
pub mod raw;
pub mod readme;
pub mod story;
pub mod tools;

/// The rounds of a test that looks for leaks or rare races: all of them with `SOAK=1`, as in CI,
/// and every tenth on a reader's machine.
pub fn soak(rounds: u32) -> impl ExactSizeIterator<Item = u32> {
    (0..rounds).step_by(if std::env::var_os("SOAK").is_some() { 1 } else { 10 })
}

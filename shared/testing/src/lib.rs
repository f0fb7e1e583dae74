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

/// How often a test that looks for leaks or rare races does its part: so often with `SOAK=1`, as
/// in CI, and a tenth of it on a reader's machine.
pub fn soak(rounds: usize) -> usize {
    if std::env::var_os("SOAK").is_some() { rounds } else { rounds / 10 }
}

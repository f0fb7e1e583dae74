//! Plays a lesson's program, and looks at how it ends. Each lesson's `tests/story.rs` has this
//! file as a module.
#![allow(dead_code, reason = "each lesson uses its own part of this")]

use std::time::Duration;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::str::contains;

pub const HTTP_2025: &str = "--transport http --protocol 2025-11-25";
pub const HTTP_2026: &str = "--transport http --protocol 2026-07-28";
pub const STDIO_2025: &str = "--transport stdio --protocol 2025-11-25";
pub const STDIO_2026: &str = "--transport stdio --protocol 2026-07-28";
pub const EVERYWHERE: [&str; 4] = [HTTP_2025, HTTP_2026, STDIO_2025, STDIO_2026];

/// A lesson's program.
pub struct Program(pub &'static str);

impl Program {
    /// Runs it with these options, separated by spaces.
    pub fn play(&self, options: &str) -> Assert {
        let options = options.split_whitespace();
        Command::new(self.0).args(options).timeout(Duration::from_secs(120)).assert()
    }

    /// The story holds.
    pub fn passes(&self, options: &str) {
        self.play(options).success().stdout(contains("every claim held\n"));
    }

    /// The story fails, by that sentence.
    pub fn fails(&self, way: &str, options: &str, sentence: &str) {
        self.play(&format!("{way} {options}")).code(1).stderr(contains(sentence));
    }
}

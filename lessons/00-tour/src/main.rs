//! `cargo run`: lessons 1 to 4, one after the other, with a short tick.

use std::process::ExitCode;

fn main() -> ExitCode {
    course::run::main(&tour::LESSONS)
}

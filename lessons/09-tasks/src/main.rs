//! `cargo run -p tasks`

use std::process::ExitCode;

fn main() -> ExitCode {
    course::run::main(&[tasks::LESSON])
}

//! `cargo run -p tasks`

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::run::main(&[tasks::LESSON])
}

//! `cargo run -p timeouts`

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::run::main(&[timeouts::LESSON])
}

//! `cargo run -p timeouts`

use std::process::ExitCode;

fn main() -> ExitCode {
    course::run::main(&[timeouts::LESSON])
}

//! `cargo run -p cooperative`

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::run::main(&[cooperative::LESSON])
}

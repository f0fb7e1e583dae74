//! `cargo run -p cleanup`

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::run::main(&[cleanup::LESSON])
}

//! `cargo run -p cleanup`

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::cli::main(&[cleanup::LESSON])
}

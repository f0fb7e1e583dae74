//! `cargo run -p cleanup`

use std::process::ExitCode;

fn main() -> ExitCode {
    course::run::main(&[cleanup::LESSON])
}

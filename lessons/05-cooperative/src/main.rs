//! `cargo run -p cooperative`

use std::process::ExitCode;

fn main() -> ExitCode {
    course::run::main(&[cooperative::LESSON])
}

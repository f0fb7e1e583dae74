//! `cargo run -p vanished`

use std::process::ExitCode;

fn main() -> ExitCode {
    course::run::main(&[vanished::LESSON])
}

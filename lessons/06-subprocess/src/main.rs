//! `cargo run -p subprocess`

use std::process::ExitCode;

fn main() -> ExitCode {
    course::run::main(&[subprocess::LESSON])
}

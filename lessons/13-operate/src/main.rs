//! `cargo run -p operate`

use std::process::ExitCode;

fn main() -> ExitCode {
    course::run::main(&[operate::LESSON])
}

//! `cargo run -p concurrent-cancel`

use std::process::ExitCode;

fn main() -> ExitCode {
    course::run::main(&[concurrent_cancel::LESSON])
}

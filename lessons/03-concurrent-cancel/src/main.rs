//! `cargo run -p concurrent-cancel`

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::run::main(&[concurrent_cancel::LESSON])
}

//! `cargo run -p concurrent-cancel`

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::cli::main(&[concurrent_cancel::LESSON])
}

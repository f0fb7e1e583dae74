//! `cargo run -p late-cancel`

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::cli::main(&[late_cancel::LESSON])
}

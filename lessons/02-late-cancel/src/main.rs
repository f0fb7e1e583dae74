//! `cargo run -p late-cancel`

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::run::main(&[late_cancel::LESSON])
}

//! `cargo run -p late-cancel`

use std::process::ExitCode;

fn main() -> ExitCode {
    course::run::main(&[late_cancel::LESSON])
}

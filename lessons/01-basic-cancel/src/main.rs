//! `cargo run -p basic-cancel`

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lesson::main(&[basic_cancel::LESSON])
}

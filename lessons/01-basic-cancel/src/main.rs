//! `cargo run -p basic-cancel`

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::cli::main(&[basic_cancel::LESSON])
}

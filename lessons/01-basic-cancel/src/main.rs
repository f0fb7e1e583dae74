//! `cargo run -p basic-cancel`

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::run::main(&[basic_cancel::LESSON])
}

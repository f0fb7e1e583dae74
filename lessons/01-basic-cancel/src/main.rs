//! `cargo run -p basic-cancel`

use std::process::ExitCode;

fn main() -> ExitCode {
    course::run::main(&[basic_cancel::LESSON])
}

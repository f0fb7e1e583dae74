//! `cargo run -p isolate`

use std::process::ExitCode;

fn main() -> ExitCode {
    course::run::main(&[isolate::LESSON])
}

//! `cargo run -p on-the-wire`

use std::process::ExitCode;

fn main() -> ExitCode {
    course::run::main(&[on_the_wire::LESSON])
}

//! `cargo run -p on-the-wire`

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::run::main(&[on_the_wire::LESSON])
}

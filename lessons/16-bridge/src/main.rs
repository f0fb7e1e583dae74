//! `cargo run -p bridge`: the lesson. With a URL or a command: the bridge itself.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if bridge::tool::is_meant(&arguments) {
        return bridge::tool::main();
    }
    course::run::main(&[bridge::LESSON])
}

//! `cargo run -p propagate`

use std::process::ExitCode;

use propagate::database;

fn main() -> anyhow::Result<ExitCode> {
    // The server starts this program a second time, as its database process.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == database::ARGUMENT) {
        return database::main(arguments.next()).map(|()| ExitCode::SUCCESS);
    }
    Ok(course::run::main(&[propagate::LESSON]))
}

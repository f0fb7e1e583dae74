//! Write the tool: a script that starts others, and nothing of it left alive.
//!
//! `script` is a command: a program and its arguments. Its processes start further ones, in the
//! background. Write the tool that runs it:
//!
//! 1. Run the command, and return what it writes to its standard output: `Ok(Some(text))`.
//! 2. When the call is cancelled, end it at once: `Ok(None)`.
//! 3. When the tool returns, no process of this script lives: after the cancel, and also after a
//!    script that has ended by itself and left something in the background. The processes of other
//!    calls are none of its business.
//!
//! What you may use: `tokio::process::Command`, and `crate::group::Group` of this lesson:
//! `Group::spawn(&mut command)?` starts a command in a process group of its own, `group.leader` is
//! the child, and `group.end().await?` kills all of the group and waits until it is gone. Leave it to
//! `end` to wait for the child: once that is done, the group's id may be another's.
//! A pipe is read with `use tokio::io::AsyncReadExt;`.
//!
//! Check it with `cargo run -p subprocess -- exercise`. A solution: `-- exercise --solution`.
//! More of it in README.md, "Exercise".

use course::exercise::not_begun;
use course::exercise::tool::{Context, Outcome};

pub async fn run(script: Vec<String>, ctx: Context) -> Outcome {
    Err(not_begun((script, ctx)))
}

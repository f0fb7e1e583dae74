//! Hint: your code blocks its thread

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use course::exercise::tool::{Context, Outcome};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

pub async fn run(script: Vec<String>, ctx: Context) -> Outcome {
    let mut command = Command::new(&script[0]);
    let child = command.args(&script[1..]).stdout(Stdio::piped()).process_group(0).spawn()?;
    let group = Pid::from_raw(child.id().try_into()?);
    let output = child.wait_with_output()?;
    let _ = killpg(group, Signal::SIGKILL);
    Ok((!ctx.ct.is_cancelled()).then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
}

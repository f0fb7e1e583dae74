//! Hint: the script has ended, and 1 process that it has started lives on

use std::process::Stdio;

use anyhow::Context as _;
use course::exercise::tool::{Context, Outcome};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

pub async fn run(script: Vec<String>, ctx: Context) -> Outcome {
    let mut command = Command::new(&script[0]);
    command.args(&script[1..]).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut output = child.stdout.take().context("no output")?;
    let mut text = String::new();
    let read = tokio::select! {
        biased;
        () = ctx.ct.cancelled() => None,
        read = output.read_to_string(&mut text) => Some(read),
    };
    child.kill().await?;
    Ok(read.transpose()?.map(|_| text))
}

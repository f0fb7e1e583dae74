//! Hint: a script that prints hello was answered with "ended"

use course::exercise::tool::{Context, Outcome};
use tokio::process::Command;

use crate::group::Group;

pub async fn run(script: Vec<String>, ctx: Context) -> Outcome {
    let mut group = Group::spawn(Command::new(&script[0]).args(&script[1..]))?;
    let done = tokio::select! {
        () = ctx.ct.cancelled() => None,
        _ = group.leader.wait() => Some("ended".to_owned()),
    };
    if done.is_none() {
        group.end().await?;
    }
    Ok(done)
}

//! Work that is left to another program.

use std::io;
use std::path::Path;
use std::process::Stdio;

use shared::calls::Call;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::group::Group;

/// Sorts a file so many times, and says so after each. The outer shell only waits for the
/// inner one, as a wrapper script does.
const SORT: &str = r#"
sh -c 'for pass in $(seq "$0"); do sort -t , -k 5 "$1" | cksum; done' "$0" "$1"
exit $?
"#;

/// Starts to sort the file so many times, in processes of a group of their own.
pub fn start(path: &Path, passes: u32) -> io::Result<Group> {
    let mut command = Command::new("sh");
    command.arg("-c").arg(SORT).arg(passes.to_string()).arg(path);
    Group::spawn(command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()))
}

/// Counts the passes as the child reports them, until it has done all.
pub async fn each_pass(group: &mut Group, call: &Call) -> io::Result<()> {
    if let Some(output) = group.child.stdout.take() {
        let mut passes = BufReader::new(output).lines();
        while passes.next_line().await?.is_some() {
            call.step_done();
        }
    }
    Ok(())
}

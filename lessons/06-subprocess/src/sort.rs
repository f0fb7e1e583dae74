//! Work that is left to another program.

use std::io;
use std::path::Path;
use std::process::Stdio;

use anyhow::ensure;
use shared::calls::Call;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::group::Group;

/// Sorts a file (`$1`) so many times (`$0`), and prints a line after each. The outer shell only waits
/// for the inner one, as a wrapper script does.
const SORT: &str = r#"
sh -c 'for pass in $(seq "$0"); do sort -t , -k 5 "$1" | cksum; done' "$0" "$1"
exit $?
"#;

/// A watchdog for the case that the server is killed. Then nothing of the server runs any more,
/// no destructor either. But the system closes its files, and so the group's standard input
/// ends. A process of the group waits for that, and kills the group (`kill 0`), itself included.
/// The shell would give it `/dev/null` for its input, so the input is kept as file 3.
const WATCHDOG: &str = "exec 3<&0; (read -r _ <&3; kill -KILL 0) >/dev/null 2>&1 &";

/// Starts to sort the file so many times, in processes of a group of their own.
pub fn start(path: &Path, passes: u32) -> io::Result<Group> {
    group(&format!("{WATCHDOG}{SORT}"), Stdio::piped(), path, passes)
}

/// The same without the watchdog.
pub fn start_unwatched(path: &Path, passes: u32) -> io::Result<Group> {
    group(SORT, Stdio::null(), path, passes)
}

fn group(script: &str, stdin: Stdio, path: &Path, passes: u32) -> io::Result<Group> {
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(passes.to_string()).arg(path).env("LC_ALL", "C");
    // Neither may be inherited. On stdio the server's own input and output carry the protocol: a
    // child would read the client's messages, and print between the server's.
    Group::spawn(command.stdin(stdin).stdout(Stdio::piped()))
}

/// Counts the passes as the child reports them. An error if it ends before it has done all.
pub async fn each_pass(group: &mut Group, passes: u32, call: &Call) -> anyhow::Result<()> {
    let mut done = 0;
    if let Some(output) = group.leader.stdout.take() {
        let mut lines = BufReader::new(output).lines();
        while lines.next_line().await?.is_some() {
            call.step_done();
            done += 1;
        }
    }
    ensure!(done == passes, "the sorting ended after {done} of {passes} passes");
    Ok(())
}

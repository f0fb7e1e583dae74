//! A child process together with all that it starts.

use std::io;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpgid,
};
use tokio::process::{Child, Command};
use tokio::time::{Duration, sleep};

/// A process group: the child that leads it, and what that starts in turn.
#[derive(Debug)]
pub struct Group {
    /// The process that was started, the leader of the group.
    pub child: Child,
    /// The id of the group, which is that of its leader.
    pub id: Pid,
}

impl Group {
    /// Starts a command as the leader of a new group. Its children will belong to it.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = command.process_group(0).spawn()?;
        let id = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        Ok(Self { child, id: id.ok_or(Errno::SRCH)? })
    }

    /// Kills all of the group, and returns when nothing is left of it.
    pub async fn end(mut self) {
        let _ = kill_process_group(self.id, Signal::KILL);
        let _ = self.child.wait().await;
        end_orphans(self.id).await;
    }
}

/// Kills a group whose leader is gone, and returns when nothing is left of it.
pub async fn end_orphans(group: Pid) {
    // A killed process is a zombie until its parent has waited for it. For these that is us,
    // since their own parent is gone: see `adopt`.
    while kill_process_group(group, Signal::KILL).is_ok() {
        let _ = waitpgid(group, WaitOptions::NOHANG);
        sleep(Duration::from_millis(1)).await;
    }
}

impl Drop for Group {
    /// For the ways that end without [`Group::end`]. What is killed here, tokio waits for, or
    /// whoever adopts orphans.
    fn drop(&mut self) {
        // A child that has been waited for has no id any more, and its number may be another's.
        if self.child.id().is_some() {
            let _ = kill_process_group(self.id, Signal::KILL);
        }
    }
}

/// Whether any process of the group is there, zombies included: they can still be signalled.
pub fn is_alive(group: Pid) -> bool {
    test_kill_process_group(group).is_ok()
}

/// Makes this process the parent of its orphaned grandchildren. Otherwise that is process 1,
/// which in a container is often no `init`, and leaves zombies.
pub fn adopt() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

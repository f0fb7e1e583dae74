//! A child process together with all that it starts.
//!
//! A group's id is the id of the process that leads it. The system gives an id to another
//! process only when the group is empty *and* its leader has been waited for. So a [`Group`]
//! waits for its leader last: until then the id is ours, and a signal cannot hit a stranger.

use std::io;
use std::sync::{Arc, Weak};

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;
use tokio::time::{Duration, Instant, sleep, timeout};

use crate::table::{Process, members};

/// How long [`Group::end`] tries. Only a process that is stuck in the kernel outlives a SIGKILL.
const LIMIT: Duration = Duration::from_secs(3);

/// A process group: the child that leads it, and what that starts in turn.
#[derive(Debug)]
pub struct Group {
    /// The leader. Nobody but [`Group::end`] may wait for it.
    pub leader: Child,
    id: Arc<Pid>,
}

impl Group {
    /// Starts a command as the leader of a new group. Its children will belong to the group.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let leader = command.process_group(0).spawn()?;
        let id = leader.id().and_then(|id| id.try_into().ok()).ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { leader, id: Arc::new(Pid::from_raw(id)) })
    }

    /// The id of the group. It can be upgraded for as long as this value exists.
    pub fn id(&self) -> Weak<Pid> {
        Arc::downgrade(&self.id)
    }

    /// Kills all of the group, and returns when nothing is left of it, not even a zombie.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        let asked = Instant::now();
        loop {
            // One signal for all of them: also for those that started a moment ago.
            let _ = killpg(*self.id, Signal::SIGKILL);
            let others = self.others().await?;
            if others.is_empty() {
                break;
            }
            // Their own parents are dead, so they are our children now: see `adopt`. A zombie
            // stays until its parent has waited for it. Where they are not ours, this fails,
            // and the system's first process waits for them.
            for other in &others {
                let _ = waitpid(Pid::from_raw(other.pid), Some(WaitPidFlag::WNOHANG));
            }
            let count = others.len();
            ensure!(asked.elapsed() < LIMIT, "group {} does not end: {count} left", self.id);
            sleep(Duration::from_millis(1)).await;
        }
        let ended = timeout(LIMIT, self.leader.wait()).await;
        let ended = ended.with_context(|| format!("the leader {} does not end", self.id))?;
        ended.context("the leader of the group was waited for elsewhere")?;
        Ok(())
    }

    async fn others(&self) -> anyhow::Result<Vec<Process>> {
        let leader = *self.id;
        let mut others = spawn_blocking(move || members(leader)).await??;
        others.retain(|process| process.pid != leader.as_raw());
        Ok(others)
    }
}

impl Drop for Group {
    /// For the ways that end without [`Group::end`]: a panic, an aborted task. It cannot wait.
    fn drop(&mut self) {
        // A leader that has been waited for has no id any more, and its number may be another's.
        if self.leader.id().is_some() {
            let _ = killpg(*self.id, Signal::SIGKILL);
        }
    }
}

/// Makes this process the parent of its orphaned grandchildren. Otherwise that is process 1,
/// which in a container is often a program that waits for nobody: each orphan leaves a zombie.
pub fn adopt() {
    // Other systems have no such call. There process 1 is a real `init`.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_child_subreaper(true);
}

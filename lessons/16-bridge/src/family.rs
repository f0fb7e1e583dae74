//! All that a child process has started.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rmcp::transport::TokioChildProcess;

/// The process group of a child that leads one. A server that was started through `npx` or a shell
/// is a grandchild, and rmcp ends the child alone. The group is killed when this is dropped.
pub struct Family(Option<Pid>);

impl Family {
    /// The group that this child leads.
    pub fn of(child: &TokioChildProcess) -> Self {
        Self(child.id().and_then(|id| id.try_into().ok()).map(Pid::from_raw))
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Most often nobody is left. The number is nobody else's yet: it was the child's a
            // moment ago.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

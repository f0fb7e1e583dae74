//! The system's own list of processes. What a server says of its children can be wrong; this
//! cannot.

use std::path::Path;
use std::process::Command;
use std::{fs, io};

use nix::unistd::Pid;
use rmcp::schemars;
use serde::{Deserialize, Serialize};

/// A process, as the system lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// The id of its group, which is the id of the group's leader.
    pub group: i32,
    /// What it runs.
    pub name: String,
    /// Whether it has ended, and is only listed until its parent has waited for it.
    pub zombie: bool,
}

/// The processes of a group, zombies included. Blocks for a moment.
pub fn members(group: Pid) -> io::Result<Vec<Process>> {
    let all = if Path::new("/proc/self/stat").exists() { from_proc()? } else { from_ps()? };
    Ok(all.into_iter().filter(|process| process.group == group.as_raw()).collect())
}

/// Linux: `/proc/PID/stat` is "PID (NAME) STATE PPID GROUP ...". NAME may contain anything.
fn from_proc() -> io::Result<Vec<Process>> {
    let read = |stat: &str| {
        let (pid, rest) = stat.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let (state, group) = (fields.next()?, fields.nth(1)?);
        process(pid, group, state, name)
    };
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        // Most of `/proc` is no process, and a process may end while we look.
        if let Ok(stat) = fs::read_to_string(entry?.path().join("stat")) {
            processes.extend(read(&stat));
        }
    }
    Ok(processes)
}

/// Any other Unix: `ps` of POSIX.
fn from_ps() -> io::Result<Vec<Process>> {
    let ps = Command::new("ps").args(["-A", "-o", "pid= pgid= state= comm="]).output()?;
    let read = |line: &str| {
        let mut fields = line.split_whitespace();
        process(fields.next()?, fields.next()?, fields.next()?, fields.next()?)
    };
    Ok(String::from_utf8_lossy(&ps.stdout).lines().filter_map(read).collect())
}

fn process(pid: &str, group: &str, state: &str, name: &str) -> Option<Process> {
    let (pid, group) = (pid.parse().ok()?, group.parse().ok()?);
    Some(Process { pid, group, name: name.to_owned(), zombie: state.starts_with('Z') })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two ways of asking agree on this process. Where there is no `/proc`, or no `ps`,
    /// there is only one of them.
    #[test]
    fn proc_and_ps_agree() {
        let me = i32::try_from(std::process::id()).unwrap();
        let mine = |all: io::Result<Vec<Process>>| {
            let mut all = all.ok()?.into_iter();
            all.find(|process| process.pid == me).map(|process| (process.group, process.zombie))
        };
        let (proc, ps) = (mine(from_proc()), mine(from_ps()));
        assert!(proc.is_some() || ps.is_some());
        assert!(proc.is_none() || ps.is_none() || proc == ps, "{proc:?} {ps:?}");
    }
}

//! What a server's processes do, as Linux tells it in /proc. No help from the server is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use tokio::time::sleep;

/// The time between two looks at the threads.
const LOOK: Duration = Duration::from_millis(20);

/// A process and all its descendants.
#[derive(Debug, Clone)]
pub struct Tree {
    root: u32,
    /// The server's own port: connections to it are its clients'.
    port: Option<u16>,
}

/// A process for as long as it lives: the system uses numbers again, but not with the same start.
pub type Process = (u32, u64);

/// What the tree was at one moment.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    pub processes: BTreeMap<Process, String>,
    pub files: BTreeSet<String>,
    pub connections: BTreeSet<String>,
}

/// What the tree did for a moment.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// In which share of the looks a thread had work to do. Processor time would say the same
    /// on an idle machine. On a busy one a thread that computes on gets little of it.
    pub busy: f64,
    pub last: Sample,
}

struct Stat {
    process: Process,
    parent: u32,
    name: String,
    zombie: bool,
}

impl Tree {
    /// The tree under this process. None if this system does not show it.
    pub fn of(root: u32, port: Option<u16>) -> Option<Self> {
        stat(root).map(|_| Self { root, port })
    }

    /// Looks so many times. A number of looks, not a time: on a busy machine each takes longer.
    pub async fn watch(&self, looks: u32) -> Window {
        let family = self.sample().processes;
        let mut working = 0;
        for _ in 0..looks {
            sleep(LOOK).await;
            working += u32::from(family.keys().any(|process| works(process.0)));
        }
        Window { busy: f64::from(working) / f64::from(looks), last: self.sample() }
    }

    /// The tree at rest. A server that was just started may have work of its own for a while.
    pub async fn rest(&self, looks: u32) -> Window {
        const TRIES: usize = 15;
        const QUIET: f64 = 0.15;
        let mut calmest = self.watch(looks).await;
        for _ in 1..TRIES {
            if calmest.busy <= QUIET {
                break;
            }
            let next = self.watch(looks).await;
            if next.busy < calmest.busy {
                calmest = next;
            }
        }
        calmest
    }

    pub fn sample(&self) -> Sample {
        let all: Vec<Stat> = pids().filter_map(stat).collect();
        let mut members = BTreeSet::from([self.root]);
        // Parents are older than their children, but numbers wrap round: look until none is new.
        while all.iter().any(|one| {
            members.contains(&one.parent) && !one.zombie && members.insert(one.process.0)
        }) {}
        let mut sample = Sample::default();
        let listed = sockets();
        for one in all.into_iter().filter(|one| members.contains(&one.process.0)) {
            for open in descriptors(one.process.0) {
                if let Some(inode) = open.strip_prefix("socket:") {
                    let found = listed.get(inode.trim_matches(['[', ']']));
                    let foreign = found.filter(|(local, _)| Some(*local) != self.port);
                    sample.connections.extend(foreign.map(|(_, remote)| remote.clone()));
                } else if open.starts_with('/') && !open.starts_with("/dev/") {
                    sample.files.insert(open);
                }
            }
            sample.processes.insert(one.process, one.name);
        }
        sample
    }
}

/// The process still lives, whoever its parent is by now.
pub fn lives(process: Process) -> bool {
    stat(process.0).is_some_and(|now| now.process == process && !now.zombie)
}

/// A process with this number lives.
pub fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|now| !now.zombie)
}

/// The processes whose environment contains this text.
pub fn with_environment(text: &str) -> Vec<Process> {
    let has = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.windows(text.len()).any(|part| part == text.as_bytes())
    };
    pids().filter(has).filter_map(stat).map(|stat| stat.process).collect()
}

fn pids() -> impl Iterator<Item = u32> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    names.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may contain anything, brackets too.
    let (head, tail) = text.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let number = |field: usize| fields.get(field)?.parse::<u64>().ok();
    Some(Stat {
        process: (pid, number(19)?),
        parent: u32::try_from(number(1)?).ok()?,
        name,
        zombie: fields.first() == Some(&"Z"),
    })
}

/// A thread of the process runs, waits for a processor, or waits for a disk.
fn works(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.into_iter().any(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, tail)| tail.starts_with(['R', 'D']))
    })
}

fn descriptors(pid: u32) -> Vec<String> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.filter_map(|fd| Some(fs::read_link(fd.path()).ok()?.to_string_lossy().into_owned()))
        .collect()
}

/// The established TCP connections by inode: the local port, and the other end.
fn sockets() -> BTreeMap<String, (u16, String)> {
    let mut found = BTreeMap::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        // After a storm of calls most of thousands of lines are closed connections.
        for line in text.lines().filter(|line| line.contains(" 01 ")) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, remote, "01", ..] = fields[..] else { continue };
            let port = |end: &str| u16::from_str_radix(end.rsplit_once(':')?.1, 16).ok();
            if let (Some(local), Some(remote), Some(inode)) =
                (port(local), port(remote), fields.get(9))
            {
                found
                    .insert((*inode).to_owned(), (local, format!("port {remote}, socket {inode}")));
            }
        }
    }
    found
}

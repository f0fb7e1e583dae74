//! What a server's processes do, as Linux tells it in /proc. No help from the server is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
    /// The inodes of all open sockets.
    pub sockets: BTreeSet<String>,
    /// Those of them that were not open in the sample before, and are connections to others.
    pub connections: BTreeSet<String>,
}

/// What the tree did for a moment.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// In which share of the looks a thread had work to do. Processor time would say the same
    /// on an idle machine. On a busy one a thread that computes on gets little of it.
    pub busy: f64,
    /// In which share of the time a thread really ran. One that only wakes now and then may wait
    /// long for its processor on a busy machine. Then most looks find it at work.
    pub ran: f64,
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
    /// Returns in which share of the looks a thread had work to do.
    pub async fn busy(&self, looks: u32) -> f64 {
        let family = self.members();
        let mut working = 0;
        for _ in 0..looks {
            sleep(LOOK).await;
            working += u32::from(family.iter().any(|one| works(one.process.0)));
        }
        f64::from(working) / f64::from(looks)
    }

    /// Looks so many times, and then at all that the tree holds, and did not hold before.
    pub async fn watch(&self, looks: u32, before: &Window) -> Window {
        let (began, so_far) = (Instant::now(), self.ran());
        let busy = self.busy(looks).await;
        // Not each system tells. Then the looks decide alone.
        let ran = so_far.zip(self.ran()).map_or(1.0, |(before, now)| {
            now.saturating_sub(before).div_duration_f64(began.elapsed())
        });
        Window { busy, ran, last: self.sample(Some(&before.last)) }
    }

    /// How long all threads have run until now, if the system tells.
    fn ran(&self) -> Option<Duration> {
        let threads = self.members().into_iter().flat_map(|one| threads(one.process.0));
        threads.filter_map(|thread| ran(&thread)).reduce(|all, one| all + one)
    }

    /// The tree at rest. A server that was just started may have work of its own for a while.
    pub async fn rest(&self, looks: u32) -> Window {
        const TRIES: usize = 15;
        const QUIET: f64 = 0.15;
        let mut calmest = self.busy(looks).await;
        for _ in 1..TRIES {
            if calmest <= QUIET {
                break;
            }
            calmest = self.busy(looks).await.min(calmest);
        }
        Window { busy: calmest, ran: 0.0, last: self.sample(None) }
    }

    fn members(&self) -> Vec<Stat> {
        let mut all: Vec<Stat> = pids().filter_map(stat).collect();
        let mut members = BTreeSet::from([self.root]);
        // Parents are older than their children, but numbers wrap round: look until none is new.
        while all.iter().any(|one| {
            members.contains(&one.parent) && !one.zombie && members.insert(one.process.0)
        }) {}
        all.retain(|one| members.contains(&one.process.0));
        all
    }

    /// The processes of the tree, oldest number first.
    pub fn processes(&self) -> BTreeMap<Process, String> {
        self.members().into_iter().map(|one| (one.process, one.name)).collect()
    }

    /// All that the tree holds. Which new sockets are connections is asked only if there are any:
    /// after a storm of calls the system's list of connections is long.
    pub fn sample(&self, before: Option<&Sample>) -> Sample {
        let mut sample = Sample::default();
        for one in self.members() {
            for open in descriptors(one.process.0) {
                if let Some(inode) = open.strip_prefix("socket:") {
                    sample.sockets.insert(inode.trim_matches(['[', ']']).to_owned());
                } else if open.starts_with('/') && !open.starts_with("/dev/") {
                    sample.files.insert(open);
                }
            }
            sample.processes.insert(one.process, one.name);
        }
        let old = before.map_or(&sample.sockets, |before| &before.sockets);
        let mut new: BTreeSet<_> = sample.sockets.difference(old).cloned().collect();
        if !new.is_empty() {
            let listed = connections();
            new.retain(|inode| listed.get(inode).is_some_and(|local| Some(*local) != self.port));
        }
        sample.connections = new;
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
    threads(pid).any(|thread| {
        let stat = fs::read_to_string(thread.join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, tail)| tail.starts_with(['R', 'D']))
    })
}

fn threads(pid: u32) -> impl Iterator<Item = PathBuf> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.map(|thread| thread.path())
}

/// How long this thread has run.
fn ran(thread: &Path) -> Option<Duration> {
    let text = fs::read_to_string(thread.join("schedstat")).ok()?;
    let nanoseconds = text.split(' ').next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

fn descriptors(pid: u32) -> Vec<String> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.filter_map(|fd| Some(fs::read_link(fd.path()).ok()?.to_string_lossy().into_owned()))
        .collect()
}

/// The local ports of the established TCP connections, by inode.
fn connections() -> BTreeMap<String, u16> {
    let mut found = BTreeMap::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        // Most of thousands of lines may be closed connections.
        for line in text.lines().filter(|line| line.contains(" 01 ")) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, "01", _, _, _, _, _, inode, ..] = fields[..] else { continue };
            let port = local.rsplit_once(':').map(|(_, port)| u16::from_str_radix(port, 16));
            if let Some(Ok(port)) = port {
                found.insert(inode.to_owned(), port);
            }
        }
    }
    found
}

//! What the exports hold: permits, files and leases. All of it real.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{anyhow, bail};
use rmcp::schemars;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use tempfile::{Builder, NamedTempFile, TempDir};
use tokio::fs;
use tokio::sync::{OwnedRwLockReadGuard, RwLock, Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;

/// How many exports may run at once.
pub const PERMITS: usize = 4;

/// The pool, the folder and the lease database of a server. Clones share them.
#[derive(Debug, Clone)]
pub struct Resources {
    pool: Arc<Semaphore>,
    running: Arc<RwLock<()>>,
    folder: Arc<TempDir>,
    leases: Arc<Mutex<Connection>>,
    /// Whether each write into a file fails: the exercise plays that too.
    pub(crate) disk_full: bool,
}

/// What is held at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Inventory {
    /// Permits that nobody holds.
    pub permits_free: usize,
    /// Reports that are finished.
    pub finished: Vec<String>,
    /// Temporary files of reports that are not.
    pub unfinished: Vec<String>,
    /// The reports that somebody holds a lease on.
    pub leases: Vec<String>,
}

impl Resources {
    /// A full pool, an empty folder, an empty database.
    pub fn new() -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("mcp-exports-")?;
        std::fs::create_dir(folder.path().join("exports"))?;
        let leases = Connection::open(folder.path().join("leases.db"))?;
        leases.execute("CREATE TABLE leases (report TEXT PRIMARY KEY)", ())?;
        Ok(Self {
            pool: Arc::new(Semaphore::new(PERMITS)),
            running: Arc::default(),
            folder: Arc::new(folder),
            leases: Arc::new(Mutex::new(leases)),
            disk_full: false,
        })
    }

    /// An export runs for as long as it holds this. See [`Resources::repair`].
    pub fn begin_export(&self) -> Result<OwnedRwLockReadGuard<()>, String> {
        let running = Arc::clone(&self.running).try_read_owned();
        running.map_err(|_| "busy: repair is at work, try again later".to_owned())
    }

    /// Takes a permit. Says so if there is none: a queue would hide a leak.
    pub fn try_permit(&self) -> anyhow::Result<SemaphorePermit<'_>> {
        let permit = self.pool.try_acquire();
        permit.map_err(|_| anyhow!("busy: 0 of {PERMITS} permits are free, try again later"))
    }

    /// Puts a permit into the pool by hand.
    pub fn add_permit(&self) {
        self.pool.add_permits(1);
    }

    /// Creates a temporary file for a report. Its name is its own, so two exports of one report
    /// do not touch each other's file.
    pub async fn unfinished(&self, report: &str) -> anyhow::Result<Unfinished> {
        let (folder, report, disk_full) = (self.exports(), report.to_owned(), self.disk_full);
        spawn_blocking(move || {
            let prefix = format!("{report}-");
            let file = Builder::new().prefix(&prefix).suffix(".tmp").tempfile_in(&folder)?;
            Ok(Unfinished { file, finished: folder.join(format!("{report}.csv")), disk_full })
        })
        .await?
    }

    /// Inserts the report's row. Fails if somebody else holds the lease.
    pub async fn take_lease(&self, report: &str) -> anyhow::Result<()> {
        let name = report.to_owned();
        let take =
            move |db: &Connection| db.execute("INSERT OR IGNORE INTO leases VALUES (?1)", [name]);
        if self.with_leases(take).await? == 0 {
            bail!("busy: another export holds the lease on {report}");
        }
        Ok(())
    }

    /// Deletes the report's row.
    pub async fn give_back_lease(&self, report: &str) -> anyhow::Result<()> {
        let name = report.to_owned();
        self.with_leases(move |db| db.execute("DELETE FROM leases WHERE report = ?1", [name]))
            .await?;
        Ok(())
    }

    /// What is held now.
    pub async fn inventory(&self) -> anyhow::Result<Inventory> {
        let (mut finished, mut unfinished) = (Vec::new(), Vec::new());
        let mut entries = fs::read_dir(self.exports()).await?;
        while let Some(entry) = entries.next_entry().await? {
            let name = entry.file_name().to_string_lossy().into_owned();
            let list =
                if name.strip_suffix(".tmp").is_some() { &mut unfinished } else { &mut finished };
            list.push(name);
        }
        finished.sort();
        unfinished.sort();
        let list = |db: &Connection| {
            let mut query = db.prepare("SELECT report FROM leases ORDER BY report")?;
            query.query_map((), |row| row.get(0))?.collect()
        };
        let leases = self.with_leases(list).await?;
        Ok(Inventory { permits_free: self.pool.available_permits(), finished, unfinished, leases })
    }

    /// Back to a full pool, an empty folder, an empty database.
    ///
    /// First it waits until no export runs, and lets none begin. Only then has everything that is
    /// missing leaked. Earlier, what an export still holds would come back twice.
    pub async fn repair(&self) -> anyhow::Result<()> {
        let _alone = self.running.write().await;
        let held = self.inventory().await?;
        for name in held.finished.iter().chain(&held.unfinished) {
            fs::remove_file(self.exports().join(name)).await?;
        }
        self.with_leases(|db| db.execute("DELETE FROM leases", ())).await?;
        self.pool.add_permits(PERMITS - self.pool.available_permits());
        Ok(())
    }

    pub(crate) fn exports(&self) -> PathBuf {
        self.folder.path().join("exports")
    }

    /// A database waits for its disk, so it is asked on a blocking thread.
    async fn with_leases<R: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> anyhow::Result<R> {
        let leases = Arc::clone(&self.leases);
        let asked =
            spawn_blocking(move || ask(&leases.lock().unwrap_or_else(PoisonError::into_inner)));
        Ok(asked.await??)
    }
}

/// A report that is being written, under a temporary name. It removes itself when it is
/// dropped, unless it has been published.
#[derive(Debug)]
pub struct Unfinished {
    file: NamedTempFile,
    finished: PathBuf,
    disk_full: bool,
}

impl Unfinished {
    /// The file, for writing. It may outlive `self`: a write that is under way on a blocking
    /// thread then ends in a file that has no name any more.
    pub fn writer(&self) -> io::Result<fs::File> {
        Ok(fs::File::from_std(if self.disk_full {
            // Open for reading only: no write succeeds.
            std::fs::File::open(self.file.path())?
        } else {
            self.file.as_file().try_clone()?
        }))
    }

    /// Gives the file its real name, in one step. A reader sees the whole report or none.
    pub async fn publish(self) -> anyhow::Result<()> {
        spawn_blocking(move || self.file.persist(self.finished)).await??;
        Ok(())
    }

    /// From now on the file does not remove itself. Returns its two names.
    pub fn keep(self) -> anyhow::Result<(PathBuf, PathBuf)> {
        let (_, temporary) = self.file.keep()?;
        Ok((temporary, self.finished))
    }
}

//! What the exports hold: permits, files and leases. All of it real.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::schemars;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;

use crate::tools::text;

/// How many exports may run at once.
pub const PERMITS: usize = 4;

/// The pool, the folder and the lease database of a server.
#[derive(Debug, Clone)]
pub struct Resources {
    pool: Arc<Semaphore>,
    folder: Arc<TempDir>,
    leases: Arc<Mutex<Connection>>,
}

/// What is held at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Inventory {
    /// Permits that nobody holds.
    pub permits_free: usize,
    /// Permits there are.
    pub permits_total: usize,
    /// The files in the export folder, with their sizes in bytes.
    pub files: Vec<(String, u64)>,
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
            folder: Arc::new(folder),
            leases: Arc::new(Mutex::new(leases)),
        })
    }

    /// A report's name becomes a file name, so it may not be a path.
    pub fn check_name<'a>(&self, report: &'a str) -> Result<&'a str, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !report.is_empty() && report.len() <= 64 && report.chars().all(plain) {
            Ok(report)
        } else {
            Err(format!("report must be 1 to 64 letters, digits, '-' or '_', not {report:?}"))
        }
    }

    /// A path in the export folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("exports").join(name)
    }

    /// Takes a permit, or says that there is none: a queue would hide a leak.
    pub fn try_permit(&self) -> Result<SemaphorePermit<'_>, String> {
        let permit = self.pool.try_acquire();
        permit.map_err(|_| format!("busy: 0 of {PERMITS} permits are free, try again later"))
    }

    /// Puts a permit into the pool by hand.
    pub fn add_permit(&self) {
        self.pool.add_permits(1);
    }

    /// Inserts the report's row. Fails if somebody else holds the lease.
    pub async fn take_lease(&self, report: &str) -> Result<(), String> {
        let report = report.to_owned();
        let busy = format!("busy: another export holds the lease on {report}");
        let take =
            move |db: &Connection| db.execute("INSERT OR IGNORE INTO leases VALUES (?1)", [report]);
        match self.with_leases(take).await? {
            1 => Ok(()),
            _ => Err(busy),
        }
    }

    /// Deletes the report's row.
    pub async fn give_back_lease(&self, report: &str) -> Result<(), String> {
        let report = report.to_owned();
        self.with_leases(move |db| db.execute("DELETE FROM leases WHERE report = ?1", [report]))
            .await?;
        Ok(())
    }

    /// What is held now.
    pub async fn inventory(&self) -> Result<Inventory, String> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(self.path("")).map_err(text)?.flatten() {
            // A file may be renamed or removed between these two calls: then it is not there.
            if let Ok(metadata) = entry.metadata() {
                files.push((entry.file_name().to_string_lossy().into_owned(), metadata.len()));
            }
        }
        files.sort();
        let list = |db: &Connection| {
            let mut query = db.prepare("SELECT report FROM leases ORDER BY report")?;
            query.query_map((), |row| row.get(0))?.collect()
        };
        let leases = self.with_leases(list).await?;
        Ok(Inventory {
            permits_free: self.pool.available_permits(),
            permits_total: PERMITS,
            files,
            leases,
        })
    }

    /// Back to a full pool, an empty folder, an empty database. Not for use while exports run.
    pub async fn repair(&self) -> Result<(), String> {
        for (file, _) in self.inventory().await?.files {
            std::fs::remove_file(self.path(&file)).map_err(text)?;
        }
        self.with_leases(|db| db.execute("DELETE FROM leases", ())).await?;
        self.pool.add_permits(PERMITS - self.pool.available_permits());
        Ok(())
    }

    /// A database waits for its disk, so it is asked on a blocking thread.
    async fn with_leases<R: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, String> {
        let leases = Arc::clone(&self.leases);
        let asked =
            spawn_blocking(move || ask(&leases.lock().unwrap_or_else(PoisonError::into_inner)));
        asked.await.map_err(text)?.map_err(text)
    }
}

/// A file under a temporary name. It gets its real name when it is whole, or it goes.
///
/// So a reader of the folder never sees half a report: `rename` is atomic.
#[derive(Debug)]
pub struct Unfinished {
    file: File,
    temporary: PathBuf,
    finished: PathBuf,
}

impl Unfinished {
    /// Creates the temporary file. Fails if another export of this report has one.
    pub fn create(resources: &Resources, report: &str) -> Result<Self, String> {
        let temporary = resources.path(&format!("{report}.csv.tmp"));
        let finished = resources.path(&format!("{report}.csv"));
        let file = File::create_new(&temporary).map_err(text)?;
        Ok(Self { file, temporary, finished })
    }

    /// The file, for writing.
    pub fn as_file(&self) -> &File {
        &self.file
    }

    /// Gives the file its real name. There is nothing left for `drop` to remove then.
    pub fn publish(self) -> Result<(), String> {
        std::fs::rename(&self.temporary, &self.finished).map_err(text)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After `publish` there is no such file, and nothing happens.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

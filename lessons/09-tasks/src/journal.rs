//! A journal in a database: one posting at a time, all of it or nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use shared::calls::Call;
use shared::server::Caller;
use tempfile::TempDir;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// How many steps a posting takes at most.
pub const STEPS: u32 = 10;

/// The journal. Clones share it, and its folder goes with the last one.
#[derive(Debug, Clone)]
pub struct Journal {
    folder: Arc<TempDir>,
    writer: Arc<Mutex<()>>,
}

/// A posting at work: a transaction. Dropped before [`Posting::commit`] it leaves nothing behind,
/// because a connection that is closed rolls back what it has not committed.
#[derive(Debug)]
pub struct Posting {
    db: Connection,
    _only_writer: OwnedMutexGuard<()>,
}

impl Journal {
    /// An empty journal, in a folder of its own.
    pub fn new() -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("mcp-journal-")?;
        let journal = Self { folder: Arc::new(folder), writer: Arc::default() };
        // With a write-ahead log, a reader does not wait for a posting.
        let table = "PRAGMA journal_mode = WAL; CREATE TABLE journal (row TEXT NOT NULL)";
        journal.open()?.execute_batch(table)?;
        Ok(journal)
    }

    /// Begins a posting, when no other is at work.
    pub async fn begin(&self) -> anyhow::Result<Posting> {
        let (journal, only_writer) = (self.clone(), self.writer.clone().lock_owned().await);
        let begin = move || -> rusqlite::Result<_> {
            let db = journal.open()?;
            db.execute_batch("BEGIN")?;
            Ok(Posting { db, _only_writer: only_writer })
        };
        Ok(spawn_blocking(begin).await??)
    }

    /// All rows that have been posted.
    pub async fn read(&self) -> anyhow::Result<Vec<String>> {
        let journal = self.clone();
        let read = move || -> rusqlite::Result<_> {
            let db = journal.open()?;
            let mut rows = db.prepare("SELECT row FROM journal ORDER BY rowid")?;
            rows.query_map((), |row| row.get(0))?.collect()
        };
        Ok(spawn_blocking(read).await??)
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        Connection::open(self.folder.path().join("journal.db"))
    }

    /// Posts the file's rows, a share of them in each step. `None` means: cancelled before it was its
    /// turn.
    ///
    /// From the first row on it does not look at the token to stop: a journal with half a file in
    /// it is worse than one with the whole file. When told to stop it only hurries.
    pub async fn post(
        &self,
        path: &Path,
        tick: Duration,
        call: &Call,
        caller: &impl Caller,
    ) -> anyhow::Result<Option<usize>> {
        let text = tokio::fs::read_to_string(path).await?;
        let rows: Vec<_> = text.lines().skip(1).map(str::to_owned).collect();
        let (whole, share) = (rows.len(), rows.len().div_ceil(STEPS as usize).max(1));
        let mut posting = tokio::select! {
            biased;
            () = caller.stop().cancelled() => return Ok(None),
            posting = self.begin() => posting?,
        };
        let mut posted = 0;
        for part in rows.chunks(share) {
            posting = posting.append(part.to_vec()).await?;
            posted += part.len();
            // News and a pause, for people. Neither is part of the work.
            let pause = async {
                let message = format!("cannot be stopped now: {posted} of {whole} rows");
                caller.report(posted as u64, whole as u64, message).await;
                sleep(tick).await;
            };
            tokio::select! {
                biased;
                () = caller.stop().cancelled() => {}
                () = pause => {}
            }
            call.step_done();
        }
        posting.commit().await?;
        Ok(Some(posted))
    }
}

impl Posting {
    /// Writes more rows. Nobody can read them yet. The posting goes along to the blocking thread,
    /// so no other can begin while this one writes, even if the caller is dropped meanwhile.
    pub async fn append(self, rows: Vec<String>) -> anyhow::Result<Self> {
        let insert = move || -> rusqlite::Result<_> {
            let mut insert = self.db.prepare("INSERT INTO journal VALUES (?1)")?;
            rows.iter().try_for_each(|row| insert.execute([row]).map(drop))?;
            drop(insert);
            Ok(self)
        };
        Ok(spawn_blocking(insert).await??)
    }

    /// Makes the posting part of the journal.
    pub async fn commit(self) -> anyhow::Result<()> {
        Ok(spawn_blocking(move || self.db.execute_batch("COMMIT")).await??)
    }
}

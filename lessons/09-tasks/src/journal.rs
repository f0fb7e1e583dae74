//! A journal: one writer at a time, all of a posting or none of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::spawn_blocking;

/// The journal. Clones share it.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    /// How many bytes of the file count. What lies behind belongs to a posting at work.
    end: AtomicU64,
    writer: Arc<Mutex<()>>,
}

/// A posting at work. Dropped before [`Posting::commit`] it leaves nothing behind: on an error,
/// after a panic, at the end of the runtime.
#[derive(Debug)]
pub struct Posting {
    journal: Journal,
    end: u64,
    _only_writer: OwnedMutexGuard<()>,
}

impl Journal {
    /// An empty journal, in a temporary file that goes with the process.
    pub fn new() -> io::Result<Self> {
        let (file, end, writer) = (tempfile::tempfile()?, AtomicU64::new(0), Arc::default());
        Ok(Self(Arc::new(Inner { file, end, writer })))
    }

    /// Begins a posting, when no other is at work.
    pub async fn begin(&self) -> Posting {
        let only_writer = self.0.writer.clone().lock_owned().await;
        Posting { journal: self.clone(), end: self.end(), _only_writer: only_writer }
    }

    /// All that has been posted.
    pub async fn read(&self) -> io::Result<String> {
        let journal = self.clone();
        let reading = spawn_blocking(move || {
            let mut bytes = vec![0; usize::try_from(journal.end()).map_err(io::Error::other)?];
            journal.0.file.read_exact_at(&mut bytes, 0)?;
            String::from_utf8(bytes).map_err(io::Error::other)
        });
        reading.await?
    }

    fn end(&self) -> u64 {
        self.0.end.load(Ordering::Acquire)
    }
}

impl Posting {
    /// Writes more rows. Nobody can read them yet. The posting goes along to the blocking thread,
    /// so no other can begin while this one writes, even if the caller is dropped meanwhile.
    pub async fn append(mut self, rows: String) -> io::Result<Self> {
        let writing = spawn_blocking(move || {
            self.journal.0.file.write_all_at(rows.as_bytes(), self.end)?;
            self.end += rows.len() as u64;
            Ok(self)
        });
        writing.await?
    }

    /// Makes the posting part of the journal.
    pub async fn commit(self) -> io::Result<()> {
        let writing = spawn_blocking(move || {
            self.journal.0.file.sync_all()?;
            self.journal.0.end.store(self.end, Ordering::Release);
            Ok(())
        });
        writing.await?
    }
}

impl Drop for Posting {
    fn drop(&mut self) {
        let end = self.journal.end();
        if self.end != end {
            // If this fails too, the next posting overwrites what is left.
            let _ = self.journal.0.file.set_len(end);
        }
    }
}

//! The work itself, real and the same for all tools: read the file, parse it, hash every field.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::Duration;

use csv::{ByteRecord, ReaderBuilder};
use rmcp::schemars;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// What the work comes to.
#[derive(Debug, Default, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Digest {
    /// Rows parsed and hashed.
    pub rows: u64,
    /// The hash of all their fields.
    pub hash: u64,
    /// The processor time of the thread that did it, in microseconds, if one thread did it
    /// all. What other programs do meanwhile does not count.
    pub cpu_us: Option<u64>,
}

/// Work under way.
#[derive(Debug, Default)]
pub struct Work {
    rows: u64,
    hasher: DefaultHasher,
}

impl Work {
    /// Parses and hashes these whole lines of a CSV file.
    pub fn lines(&mut self, lines: &[u8]) -> Result<bool, csv::Error> {
        self.read(lines, |_| true)
    }

    /// Parses and hashes a whole file, as long as `go_on`, asked at each row, says so. False if
    /// it did not say so to the end.
    pub fn file(&mut self, path: &Path, go_on: impl Fn(u64) -> bool) -> Result<bool, csv::Error> {
        self.read(std::fs::File::open(path)?, go_on)
    }

    fn read(
        &mut self,
        input: impl std::io::Read,
        go_on: impl Fn(u64) -> bool,
    ) -> Result<bool, csv::Error> {
        let mut reader = ReaderBuilder::new().has_headers(false).from_reader(input);
        let mut row = ByteRecord::new();
        while reader.read_byte_record(&mut row)? {
            if !go_on(self.rows) {
                return Ok(false);
            }
            row.iter().for_each(|field| field.hash(&mut self.hasher));
            self.rows += 1;
        }
        Ok(true)
    }

    /// What it came to.
    pub fn digest(&self, cpu_us: Option<u64>) -> Digest {
        Digest { rows: self.rows, hash: self.hasher.finish(), cpu_us }
    }
}

/// The processor time that this thread has used, in microseconds.
pub fn thread_cpu_us() -> u64 {
    let time = Duration::try_from(clock_gettime(ClockId::ThreadCPUTime));
    time.unwrap_or_default().as_micros().try_into().unwrap_or(u64::MAX)
}

//! The work itself, real and the same for all tools: read the file, parse it, hash every row.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};
use rmcp::schemars;
use serde::{Deserialize, Serialize};
use shared::calls::Call;

use crate::witness::Witness;

/// What the work comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Digest {
    /// Rows parsed and hashed.
    pub rows: u64,
    /// The hash of all of them, in hexadecimal digits.
    pub hash: String,
}

/// Work under way. When it is dropped, its rows are counted.
#[derive(Debug)]
pub struct Work {
    witness: Witness,
    hasher: DefaultHasher,
}

impl Work {
    /// Work that has not begun.
    pub fn new(witness: Witness) -> Self {
        Self { witness, hasher: DefaultHasher::new() }
    }

    /// Goes through the file `passes` times. Asks before each row whether it should stop, and returns
    /// `None` if so.
    pub fn passes(
        &mut self,
        passes: u32,
        path: &Path,
        call: &Call,
        should_stop: impl Fn(u64) -> bool,
    ) -> anyhow::Result<Option<Digest>> {
        for _ in 0..passes {
            if !self.read(File::open(path)?, &should_stop)? {
                return Ok(None);
            }
            call.step_done();
        }
        Ok(Some(self.digest()))
    }

    /// Parses and hashes these whole lines.
    pub fn lines(&mut self, lines: &[u8]) -> anyhow::Result<()> {
        self.read(lines, &|_| false)?;
        Ok(())
    }

    /// Reads to the end, or until it should stop: then it says false.
    fn read(
        &mut self,
        input: impl Read,
        should_stop: &impl Fn(u64) -> bool,
    ) -> anyhow::Result<bool> {
        let mut reader = ReaderBuilder::new().has_headers(false).from_reader(input);
        let mut row = ByteRecord::new();
        while reader.read_byte_record(&mut row)? {
            if should_stop(self.witness.rows()) {
                return Ok(false);
            }
            row.as_slice().hash(&mut self.hasher);
            self.witness.row_read();
        }
        Ok(true)
    }

    /// What it came to.
    pub fn digest(&self) -> Digest {
        let hash = format!("{:016x}", self.hasher.finish());
        Digest { rows: self.witness.rows(), hash }
    }
}

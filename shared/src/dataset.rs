//! The sample files, and the rule that a file name never leaves the data folder.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

/// The big file: long enough that cancelling it is worth while.
pub const LARGE: &str = "large_dataset.csv";
/// Rows of [`LARGE`], without the header.
pub const LARGE_ROWS: u64 = 100_000;
/// How many small files there are; see [`part`].
pub const PARTS: u64 = 10;

/// Name and number of rows of a small file. No two parts have the same number of
/// rows, so a result that belongs to another call gives itself away.
pub fn part(number: u64) -> (String, u64) {
    let number = number % PARTS;
    (format!("part_{number}.csv"), 1_000 + 100 * number)
}

/// A folder whose files the tools may read.
#[derive(Debug, Clone)]
pub struct DataFolder {
    root: PathBuf,
}

impl DataFolder {
    /// The generated sample, beside the running program (so `cargo clean` removes it).
    pub fn sample() -> io::Result<Self> {
        Self::sample_in(&std::env::current_exe()?.with_file_name("sample-data"))
    }

    /// The same in this folder. What is there already stays.
    pub fn sample_in(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        generate(&root.join(LARGE), LARGE_ROWS)?;
        for number in 0..PARTS {
            let (name, rows) = part(number);
            generate(&root.join(name), rows)?;
        }
        Self::open(root)
    }

    /// A folder of the user's own.
    pub fn open(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        if !root.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "not a folder"));
        }
        Ok(Self { root })
    }

    /// The path of a file in the folder, or a sentence that says what is allowed.
    ///
    /// A name that tries to leave the folder, directly or through a link, gets the same
    /// answer as a missing one: what lies outside is nobody's business.
    pub fn find(&self, filename: &str) -> Result<PathBuf, String> {
        let inside =
            |path: &PathBuf| path.parent() == Some(&self.root) && path.is_file() && is_csv(path);
        match self.root.join(filename).canonicalize() {
            Ok(path) if inside(&path) => Ok(path),
            _ => Err(format!(
                "no file {filename:?} in the data folder; filename must be one of: {}",
                self.names().join(", ")
            )),
        }
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<_> = names.filter(|name| is_csv(Path::new(name))).collect();
        names.sort();
        names
    }
}

/// Whether the tools may read this file. A folder of data also holds what is nobody's business,
/// such as `.env`.
fn is_csv(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "csv")
}

/// Writes the file once, the same bytes on every machine.
///
/// Several programs may start at once: each writes a file of its own and moves it into
/// place when it is whole, so nobody ever reads half a file.
fn generate(path: &Path, rows: u64) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut file = BufWriter::new(NamedTempFile::new_in(path.with_file_name(""))?);
    writeln!(file, "order_id,region,product,units,price")?;
    for row in 0..rows {
        let region = ["north", "east", "south", "west"][(row % 4) as usize];
        let (product, units, cents) = (row * 7 % 250, row * 13 % 40 + 1, row * 7919 % 99_900);
        let (whole, rest) = (cents / 100, cents % 100);
        writeln!(file, "{row},{region},product-{product:03},{units},{whole}.{rest:02}")?;
    }
    file.into_inner()?.persist(path)?;
    Ok(())
}

/// What the columns of a file hold.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Data rows read.
    pub rows: u64,
    /// Bytes read, the header included.
    pub bytes: u64,
    /// One entry per column, in the file's order.
    pub columns: Vec<Column>,
}

/// Statistics of one column.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Column {
    /// The column's heading.
    pub name: String,
    /// How many values are numbers; the next three speak of these.
    pub numbers: u64,
    /// The smallest number, if there is one.
    pub min: Option<f64>,
    /// The largest number, if there is one.
    pub max: Option<f64>,
    /// The mean of the numbers, if there is one.
    pub mean: Option<f64>,
}

/// A CSV file on its way from the first row to the last.
#[derive(Debug)]
pub struct Scan {
    reader: csv::Reader<File>,
    record: csv::StringRecord,
    summary: Summary,
    length: u64,
}

impl Scan {
    /// Opens the file and reads its header. An error if it cannot be read as CSV.
    pub fn open(path: &Path) -> Result<Self, csv::Error> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut reader = csv::Reader::from_reader(file);
        let column = |name: &str| Column { name: name.to_owned(), ..Column::default() };
        let columns = reader.headers()?.iter().map(column).collect();
        let summary = Summary { rows: 0, bytes: reader.position().byte(), columns };
        Ok(Self { reader, record: csv::StringRecord::new(), summary, length })
    }

    /// The length of the file, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads on until so many bytes of the file are read, to the end of a row, or until told to
    /// stop, which is no error: [`Self::summary`] then tells of the rows so far.
    ///
    /// A blocking thread cannot be aborted, so it checks the token after each row. The check is
    /// an uncontended lock, cheap beside parsing a row.
    pub fn read_until(&mut self, bytes: u64, stop: &CancellationToken) -> Result<(), csv::Error> {
        while self.summary.bytes < bytes && !stop.is_cancelled() {
            if !self.reader.read_record(&mut self.record)? {
                break;
            }
            self.summary.rows += 1;
            for (column, value) in self.summary.columns.iter_mut().zip(&self.record) {
                // `nan` and `inf` can be parsed too.
                if let Some(number) = value.parse().ok().filter(|number: &f64| number.is_finite()) {
                    column.add(number);
                }
            }
            self.summary.bytes = self.reader.position().byte();
        }
        Ok(())
    }

    /// What was read so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }
}

impl Column {
    fn add(&mut self, value: f64) {
        self.numbers += 1;
        self.min = Some(self.min.map_or(value, |min| min.min(value)));
        self.max = Some(self.max.map_or(value, |max| max.max(value)));
        let mean = self.mean.unwrap_or_default();
        self.mean = Some(mean + (value - mean) / self.numbers as f64);
    }
}

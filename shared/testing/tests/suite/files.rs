//! The files that the tools read.

use std::fs;

use shared::dataset::{DataFolder, LARGE, LARGE_ROWS, PARTS, Scan, part};
use tempfile::{NamedTempFile, tempdir};
use tokio_util::sync::CancellationToken;

fn csv(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn a_scan_tells_of_each_column_what_its_numbers_are() {
    let file = csv("name,score\nnan,1\nbob,-2.5\ninf,?\n");
    let stop = CancellationToken::new();
    let mut scan = Scan::open(file.path()).unwrap();
    assert_eq!((scan.length(), scan.summary().bytes, scan.summary().rows), (32, 11, 0));
    // To the end of the row that holds byte 12, and no further.
    scan.read_until(12, &stop).unwrap();
    assert_eq!((scan.summary().bytes, scan.summary().rows), (17, 1));
    scan.read_until(17, &stop).unwrap();
    assert_eq!(scan.summary().rows, 1);
    scan.read_until(u64::MAX, &stop).unwrap();
    let summary = scan.summary();
    assert_eq!((summary.bytes, summary.rows), (32, 3));
    let [name, score] = &summary.columns[..] else { panic!("{summary:?}") };
    assert_eq!((name.name.as_str(), name.numbers, name.min, name.max), ("name", 0, None, None));
    assert_eq!((score.numbers, score.min, score.max), (2, Some(-2.5), Some(1.0)));
    assert_eq!((name.mean, score.mean), (None, Some(-0.75)));
}

#[test]
fn a_scan_that_is_told_to_stop_reads_no_further() {
    let file = csv("a\n1\n2\n");
    let stop = CancellationToken::new();
    stop.cancel();
    let mut scan = Scan::open(file.path()).unwrap();
    scan.read_until(u64::MAX, &stop).unwrap();
    assert_eq!(scan.summary().rows, 0);
}

#[test]
fn the_sample_files_are_the_same_on_every_machine() {
    let folder = tempdir().unwrap();
    let data = DataFolder::sample_in(&folder.path().join("new")).unwrap();
    let stop = CancellationToken::new();
    let rows = |name: &str| {
        let mut scan = Scan::open(&data.find(name).unwrap()).unwrap();
        scan.read_until(u64::MAX, &stop).unwrap();
        scan.summary().rows
    };
    assert_eq!(rows(LARGE), LARGE_ROWS);
    let parts: Vec<_> = (0..PARTS).map(part).collect();
    for (number, (name, of)) in parts.iter().enumerate() {
        assert_eq!(
            (name.as_str(), *of),
            (&*format!("part_{number}.csv"), 1000 + 100 * number as u64)
        );
        assert_eq!(rows(name), *of);
    }
    assert_eq!(part(PARTS + 3), part(3));
    let first = fs::read_to_string(data.find("part_0.csv").unwrap()).unwrap();
    let rows: Vec<_> = first.lines().skip(102).take(2).collect();
    assert_eq!(rows, ["101,east,product-207,34,6.19", "102,south,product-214,7,85.38"]);
}

#[test]
fn only_csv_files_of_the_folder_itself_are_found() {
    let folder = tempdir().unwrap();
    let write = |name: &str| fs::write(folder.path().join(name), "a\n").unwrap();
    fs::create_dir(folder.path().join("below")).unwrap();
    for name in ["b.csv", "a.csv", ".env", "below/c.csv"] {
        write(name);
    }
    fs::create_dir(folder.path().join("folder.csv")).unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    assert_eq!(data.find("a.csv").unwrap().file_name().unwrap(), "a.csv");
    for name in [".env", "below/c.csv", "folder.csv", "none.csv", "..", ""] {
        let why = data.find(name).unwrap_err();
        assert!(why.contains("must be one of: a.csv, b.csv"), "{name}: {why}");
    }
    let no_folder = DataFolder::open(&folder.path().join("a.csv")).unwrap_err();
    assert_eq!(no_folder.kind(), std::io::ErrorKind::NotADirectory);
}

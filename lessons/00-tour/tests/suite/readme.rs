//! What the READMEs say is what happens: the list of lessons, the commands, the output.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::LESSONS;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The folders of the lessons, the tour's aside, in order.
fn folders() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("lessons")).unwrap();
    let mut folders: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    folders.sort();
    assert_eq!(folders.remove(0), "00-tour");
    folders
}

/// A row of the README's table: number, name, title, transports, revisions.
type Row = (u32, &'static str, &'static str, String, String);

/// The lessons that are tools of their own, and not played by `course`.
const TOOLS: [(u32, &str, &str); 1] =
    [(15, "check-server", "Does a server really stop? A tool that finds out, for any server")];

/// All lessons, in order.
fn rows() -> Vec<Row> {
    fn names(values: &[impl ToString]) -> String {
        values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
    let played = LESSONS.iter().map(|lesson| {
        let (transports, protocols) = (names(lesson.transports), names(lesson.protocols));
        (lesson.number, lesson.name, lesson.title, transports, protocols)
    });
    let tools = TOOLS.iter().map(|(number, name, title)| {
        (*number, *name, *title, "http, stdio".into(), "2025-11-25, 2026-07-28".into())
    });
    let mut rows: Vec<Row> = played.chain(tools).collect();
    rows.sort_by_key(|row| row.0);
    rows
}

#[test]
fn every_folder_is_a_lesson_of_the_list() {
    let listed = rows().into_iter().map(|(number, name, ..)| format!("{number:02}-{name}"));
    assert_eq!(folders(), listed.collect::<Vec<_>>());
}

#[test]
fn the_readmes_table_is_the_list() {
    let mut table = String::new();
    for (number, name, title, transports, protocols) in rows() {
        let link = format!("[`{name}`](lessons/{number:02}-{name}/README.md)");
        writeln!(table, "| {number} | {link} | {title} | {transports} | {protocols} |").unwrap();
    }
    assert!(read("README.md").contains(&table), "README.md should contain:\n{table}");
}

#[test]
fn the_readme_shows_real_output() {
    // The README's second command is another program's.
    let (tour, lesson) = (env!("CARGO_BIN_EXE_tour"), "--lesson basic-cancel");
    let page = read("README.md").replace("-p basic-cancel --", lesson);
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("README.md");
    std::fs::write(&copy, page).unwrap();
    testing::readme::shows_real_output(copy, "tour", tour, Some("100ms"));
}

/// Cargo would not say that a test stands where it builds no test program.
#[test]
fn no_test_stands_where_none_is_run() {
    for folder in ["lessons", "shared"] {
        let crates = std::fs::read_dir(root().join(folder)).unwrap();
        for path in crates.map(|entry| entry.unwrap().path()) {
            let Ok(manifest) = std::fs::read_to_string(path.join("Cargo.toml")) else { continue };
            // `testing` has macros that make tests.
            if manifest.contains("[lib]\ntest = false") && !path.ends_with("testing") {
                no_test_in(&path.join("src"));
            }
        }
    }
}

fn no_test_in(folder: &Path) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            no_test_in(&path);
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            let has_test = text.contains("#[test]") || text.contains("tokio::test");
            assert!(!has_test, "{}: strike `test = false` in its Cargo.toml", path.display());
        }
    }
}

#[test]
#[ignore = "a learner writes in src/exercise.rs: only of a clean checkout is this true"]
fn each_exercise_is_delivered_as_its_stub() {
    for exercise in LESSONS.iter().filter_map(|lesson| lesson.exercise) {
        assert_eq!(std::fs::read_to_string(exercise.file).unwrap(), exercise.stub);
    }
}

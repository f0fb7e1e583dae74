//! What the READMEs say is what happens: the list of lessons, the commands, the output.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use course::lesson::Lesson;

/// All lessons. The tour itself knows only those that it plays.
const LESSONS: [Lesson; 9] = [
    basic_cancel::LESSON,
    late_cancel::LESSON,
    concurrent_cancel::LESSON,
    cleanup::LESSON,
    cooperative::LESSON,
    timeouts::LESSON,
    tasks::LESSON,
    on_the_wire::LESSON,
    scale_out::LESSON,
];

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

#[test]
fn every_folder_is_a_lesson_of_the_list() {
    let listed = LESSONS.iter().map(|lesson| format!("{:02}-{}", lesson.number, lesson.name));
    assert_eq!(folders(), listed.collect::<Vec<_>>());
}

#[test]
fn the_readmes_table_is_the_list() {
    let names = |values: &[String]| values.join(", ");
    let mut table = String::new();
    for (lesson, folder) in LESSONS.iter().zip(folders()) {
        let transports: Vec<_> = lesson.transports.iter().map(ToString::to_string).collect();
        let protocols: Vec<_> = lesson.protocols.iter().map(ToString::to_string).collect();
        writeln!(
            table,
            "| {} | [`{}`](lessons/{folder}/README.md) | {} | {} | {} |",
            lesson.number,
            lesson.name,
            lesson.title,
            names(&transports),
            names(&protocols)
        )
        .unwrap();
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
    testing::readme::shows_real_output(copy, "tour", tour);
}

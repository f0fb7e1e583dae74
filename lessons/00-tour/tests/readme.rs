//! What the READMEs say is what happens: the list of lessons, the commands, the output.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use course::lesson::Lesson;

/// All lessons. The tour itself knows only those that it plays.
const LESSONS: [Lesson; 8] = [
    basic_cancel::LESSON,
    late_cancel::LESSON,
    concurrent_cancel::LESSON,
    cleanup::LESSON,
    cooperative::LESSON,
    timeouts::LESSON,
    tasks::LESSON,
    on_the_wire::LESSON,
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

/// The files of a folder, as paths from the root.
fn files(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.path().is_file());
    files.map(|entry| format!("{folder}/{}", entry.file_name().to_str().unwrap())).collect()
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
fn every_link_leads_somewhere() {
    let pages = ["README.md", "docs/src/SUMMARY.md", "postman/README.md"];
    let mut pages = pages.map(str::to_owned).to_vec();
    pages.extend(folders().iter().map(|folder| format!("lessons/{folder}/README.md")));
    pages.extend(files("docs/src"));
    for page in pages {
        for link in read(&page).split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
            let target = link.0.split('#').next().unwrap();
            let local = !target.starts_with("http") && !target.is_empty();
            let path = root().join(&page).parent().unwrap().join(target);
            assert!(!local || path.exists(), "{page} links to {target}, which is not there");
        }
    }
}

/// The book shows the programs that the tests run, and shows them whole.
#[test]
fn every_foreign_program_is_short_and_in_the_book() {
    let mut shown = Vec::new();
    for page in files("docs/src") {
        let text = read(&page);
        for include in text.split("{{#include ").skip(1) {
            let path = include.split("}}").next().unwrap();
            let file = root().join("docs/src").join(path).canonicalize();
            shown.push(file.unwrap_or_else(|error| panic!("{page} includes {path}: {error}")));
        }
    }
    let languages = [("curl", "sh"), ("python", "py"), ("rust", "rs"), ("typescript", "mjs")];
    for (language, ending) in languages {
        let mut programs = files(&format!("lessons/10-on-the-wire/tests/{language}"));
        programs.retain(|path| path.ends_with(&format!(".{ending}")));
        assert!(!programs.is_empty(), "no program in {language}");
        for program in programs {
            assert!(read(&program).lines().count() < 60, "{program} has 60 lines or more");
            let path = root().join(&program).canonicalize().unwrap();
            assert!(shown.contains(&path), "no page includes {program}");
        }
    }
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

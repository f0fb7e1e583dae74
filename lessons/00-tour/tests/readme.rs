//! What the READMEs say is what happens: the list of lessons, the commands, the output.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assert_cmd::Command;
use course::lesson::Lesson;

/// All lessons. The tour itself knows only those that it plays.
const LESSONS: [Lesson; 9] = [
    basic_cancel::LESSON,
    late_cancel::LESSON,
    concurrent_cancel::LESSON,
    cleanup::LESSON,
    cooperative::LESSON,
    timeouts::LESSON,
    vanished::LESSON,
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
fn the_output_shown_in_the_readme() {
    shows_real_output("README.md", 2);
}

#[test]
fn the_output_shown_in_lesson_1() {
    shows_real_output("lessons/01-basic-cancel/README.md", 2);
}

#[test]
fn the_output_shown_in_lesson_2() {
    shows_real_output("lessons/02-late-cancel/README.md", 2);
}

#[test]
fn the_output_shown_in_lesson_3() {
    shows_real_output("lessons/03-concurrent-cancel/README.md", 2);
}

#[test]
fn the_output_shown_in_lesson_4() {
    shows_real_output("lessons/04-cleanup/README.md", 2);
}

#[test]
fn the_output_shown_in_lesson_5() {
    shows_real_output("lessons/05-cooperative/README.md", 2);
}

#[test]
fn the_output_shown_in_lesson_7() {
    shows_real_output("lessons/07-timeouts/README.md", 2);
}

#[test]
fn the_output_shown_in_lesson_8() {
    shows_real_output("lessons/08-vanished/README.md", 5);
}

#[test]
fn the_output_shown_in_lesson_9() {
    shows_real_output("lessons/09-tasks/README.md", 2);
}

#[test]
fn the_output_shown_in_lesson_10() {
    shows_real_output("lessons/10-on-the-wire/README.md", 3);
}

/// Runs the command of every `console` block of the page, and compares what it prints with
/// the block. Numbers may differ, and with them the lengths of bars. `[...]` leaves lines out.
fn shows_real_output(page: &str, blocks: usize) {
    let text = read(page);
    let found: Vec<_> = text.split("```console\n").skip(1).collect();
    assert_eq!(found.len(), blocks, "console blocks of {page}");
    for block in found {
        let mut shown = block.split("```").next().unwrap().lines();
        let command = shown.next().unwrap();
        let printed = run(command);
        let printed_lines: Vec<_> = printed.lines().map(masked).collect();
        let shown: Vec<_> = shown.map(masked).collect();
        let mut rest = &printed_lines[..];
        for (gap, part) in shown.split(|line| line == "[...]").enumerate() {
            // The first part stands at the start, each further one somewhere after a gap.
            let starts = if gap == 0 { 0 } else { rest.len().saturating_sub(part.len()) };
            let found = (0..=starts).find(|at| rest[*at..].starts_with(part));
            let lines = part.join("\n");
            let at = found
                .unwrap_or_else(|| panic!("{page}, {command}:\n{lines}\n\nis not in\n{printed}"));
            rest = &rest[at + part.len()..];
        }
        assert!(rest.is_empty(), "{page}, {command}: there is more than is shown: {rest:?}");
    }
}

/// What `$ cargo run [-p LESSON] [-- OPTIONS]` prints: the tour's program can play each.
fn run(command: &str) -> String {
    let arguments = command.strip_prefix("$ cargo run").unwrap().replace(" -- ", " ");
    let arguments = arguments.replace("-p ", "--lesson ");
    let output = Command::new(env!("CARGO_BIN_EXE_tour"))
        .args(arguments.split_whitespace())
        .timeout(Duration::from_secs(90))
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8(output.stdout), String::from_utf8(output.stderr));
    out.unwrap() + &err.unwrap()
}

/// The line without what differs from run to run.
fn masked(line: &str) -> String {
    let kind = |c: char| match c {
        '0'..='9' => '0',
        '█' | '░' | '■' | '●' | '✂' => '█',
        c => c,
    };
    let mut masked = String::new();
    // Ids that a server makes up.
    for id in ["Mcp-Session-Id:", "task id:"] {
        if line.contains(id) {
            return id.to_owned();
        }
    }
    for c in line.chars().map(kind) {
        if !(matches!(c, '0' | '█' | ' ') && masked.ends_with(c)) {
            masked.push(c);
        }
    }
    // "7.9 ms" and "12 ms" are both a number of milliseconds, and so is "-1.2 %" of percents.
    masked.replace("0.0", "0").replace("-0", "+0")
}

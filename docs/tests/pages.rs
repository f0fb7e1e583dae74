//! The pages hold what they show, and lead where they say.

use std::fs;
use std::path::{Path, PathBuf};

use book::programs::{pages, programs};
use book::{check, stage};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn a_program_on_a_page_is_its_file() {
    let mut shown = 0;
    for page in pages(&root()).unwrap() {
        let text = fs::read_to_string(&page).unwrap();
        for program in programs(&text).unwrap() {
            assert_eq!(
                program.shown,
                read(program.file),
                "{}: not what {} holds; `cargo run -p book -- programs` mends it",
                page.display(),
                program.file
            );
            shown += 1;
        }
    }
    assert!(shown > 0);
}

/// Each program that the tests run in another language is short and on a page.
#[test]
fn every_foreign_program_is_on_a_page() {
    let pages: Vec<_> =
        pages(&root()).unwrap().iter().map(|page| fs::read_to_string(page).unwrap()).collect();
    let shown: Vec<_> = pages.iter().flat_map(|page| programs(page).unwrap()).collect();
    for (language, ending) in [("curl", "sh"), ("python", "py"), ("typescript", "mjs")] {
        let mut found = 0;
        for lesson in fs::read_dir(root().join("lessons")).unwrap() {
            let name = lesson.unwrap().file_name().into_string().unwrap();
            let folder = format!("lessons/{name}/tests/{language}");
            let Ok(files) = fs::read_dir(root().join(&folder)) else { continue };
            for file in files.map(|file| file.unwrap().file_name().into_string().unwrap()) {
                if Path::new(&file).extension().is_some_and(|found| found == ending) {
                    let file = format!("{folder}/{file}");
                    assert!(shown.iter().any(|program| program.file == file), "no page: {file}");
                    assert!(read(&file).lines().count() < 60, "{file} has 60 lines or more");
                    found += 1;
                }
            }
        }
        assert!(found > 0, "no program in {language}");
    }
}

/// Preparing the book follows every link of every page, and refuses one that leads nowhere.
#[test]
fn every_page_and_lesson_is_in_the_book_and_links_to_what_is_there() {
    let book = tempfile::tempdir().unwrap();
    stage::stage(&root(), book.path()).unwrap();
    for page in pages(&root()).unwrap() {
        let name = page.file_name().unwrap();
        assert!(
            book.path().join("docs/src").join(name).exists() || name == "SUMMARY.md",
            "{name:?}"
        );
    }
    let summary = fs::read_to_string(book.path().join("SUMMARY.md")).unwrap();
    for lesson in fs::read_dir(root().join("lessons")).unwrap() {
        let name = lesson.unwrap().file_name().into_string().unwrap();
        let listed = summary.contains(&format!("](lessons/{name}/index.md)\n"));
        assert_eq!(listed, !name.starts_with("00-"), "{name}");
        let on_a_path = read("docs/src/learning-paths.md").contains(&format!("lessons/{name}/"));
        assert!(on_a_path || name.starts_with("00-"), "{name} is on no learning path");
    }
}

/// A small repository, to be spoiled.
fn repository(page: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("docs/src/SUMMARY.md", "[A](a.md)\n\n<!-- lessons -->\n"),
        ("docs/src/a.md", page),
        ("lessons/01-one/README.md", "# Lesson 1: one\n\n[code](src/lib.rs#L3)\n"),
        ("lessons/01-one/src/lib.rs", "fn one() {}\n"),
        ("lessons/01-one/tests/deep.rs", "fn test() {}\n"),
    ] {
        fs::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
        fs::write(root.path().join(path), text).unwrap();
    }
    root
}

fn staged(page: &str) -> Result<(String, String), String> {
    let root = repository(page);
    let to = root.path().join("staged");
    stage::stage(root.path(), &to).map_err(|error| format!("{error:#}"))?;
    let read = |path| fs::read_to_string(to.join(path)).unwrap();
    Ok((read("docs/src/a.md"), read("SUMMARY.md")))
}

#[test]
fn a_link_to_a_file_opens_a_page_that_shows_it() {
    let (page, summary) =
        staged("[a](../../lessons/01-one/tests/deep.rs) [b](../../lessons/01-one/tests/) [c](../../lessons/01-one)").unwrap();
    assert_eq!(
        page,
        "[a](../../lessons/01-one/tests/deep.rs.md) [b](../../lessons/01-one/tests/files.md) \
         [c](../../lessons/01-one/index.md)"
    );
    assert!(
        summary
            .contains("# Beginner\n\n- [Lesson 1: one](lessons/01-one/index.md)\n  - [src/lib.rs]")
    );
    assert!(summary.contains("# Files\n\n- [lessons/01-one/tests/deep.rs]"));
}

#[test]
fn what_does_not_read_on_a_code_host_is_refused() {
    for (page, reason) in [
        ("[a](missing.md)", "which is not there"),
        ("[a](../../../b.md)", "outside the repository"),
        ("{{#include b.rs}}", "does not know mdBook's"),
    ] {
        let error = staged(page).unwrap_err();
        assert!(error.contains(reason), "{page}: {error}");
    }
}

#[test]
fn a_book_with_bad_links_is_refused() {
    let book = tempfile::tempdir().unwrap();
    fs::create_dir(book.path().join("sub")).unwrap();
    fs::write(book.path().join("sub/b.html"), "<p id=\"here\"></p>").unwrap();
    for (html, reason) in [
        ("<a href=\"sub/b.html#here\">", None),
        ("<a href=\"https://example.com\">", None),
        ("<script>if (1 <2) x = '<a href=\"no\">'</script>", None),
        ("<a href=\"sub/b.html#there\">", Some("is a place that the page does not have")),
        ("<a href=\"#there\">", Some("is a place that the page does not have")),
        ("<a class=\"x\" href=\"c.html\">", Some("is not there")),
        ("<a href=\"../c.html\">", Some("leaves the book")),
        ("<a href=\"/c.html\">", Some("leaves the book")),
        ("<script src=\"https://example.com/x.js\"></script>", Some("is loaded from the network")),
    ] {
        fs::write(book.path().join("a.html"), html).unwrap();
        let (wrong, _) = check::check(book.path()).unwrap();
        match reason {
            None => assert!(wrong.is_empty(), "{html}: {wrong:?}"),
            Some(reason) => {
                assert!(wrong[0].ends_with(reason) && wrong.len() == 1, "{html}: {wrong:?}");
            }
        }
    }
}

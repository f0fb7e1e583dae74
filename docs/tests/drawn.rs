//! The built book, in a browser: its diagrams are drawn.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Opens every page that has a diagram, from the disk, as a reader would.
#[test]
#[ignore = "needs the book (docs/build.sh), and CHROMIUM, the path of a Chromium"]
fn every_diagram_is_drawn() {
    let chromium = std::env::var("CHROMIUM").expect("CHROMIUM is the path of a Chromium");
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/book");
    let mut pages = Vec::new();
    html(&book.canonicalize().expect("docs/build.sh builds the book"), &mut pages);
    let profile = tempfile::tempdir().unwrap();
    let mut opened = 0;
    for page in pages {
        let diagrams = fs::read_to_string(&page).unwrap().matches("\"language-mermaid\"").count();
        if diagrams == 0 {
            continue;
        }
        let shown = open(&chromium, profile.path(), &page);
        let drawn = shown.matches("<svg id=\"mermaid-").count();
        assert_eq!(drawn, diagrams, "diagrams drawn of {}:\n{shown}", page.display());
        assert!(!shown.contains("Syntax error in text"), "{}", page.display());
        opened += 1;
    }
    assert!(opened >= 2, "{opened} pages have diagrams");
}

/// The page's elements after its scripts have run.
fn open(chromium: &str, profile: &Path, page: &Path) -> String {
    let output = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--virtual-time-budget=60000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap_or_else(|error| panic!("{chromium}: {error}"));
    String::from_utf8(output.stdout).unwrap()
}

fn html(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            html(&entry.path(), pages);
        } else if entry.path().extension().is_some_and(|ending| ending == "html") {
            pages.push(entry.path());
        }
    }
}

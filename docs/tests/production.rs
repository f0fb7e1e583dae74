//! Each line of the page "Cancellation in production" names a lesson and a test that exist.

use std::fs;
use std::path::Path;

#[test]
fn every_line_of_the_checklist_names_a_test_that_exists() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let page = fs::read_to_string(pages.join("production.md")).unwrap();
    let rows: Vec<_> = page.lines().filter(|line| line.contains("README.md) | ")).collect();
    assert!(rows.len() > 20, "only {} lines", rows.len());
    for row in rows {
        let (_, proofs) = row.split_once("README.md) | ").unwrap();
        for proof in proofs.trim_end_matches(" |").split(", ") {
            let (test, path) = proof.strip_prefix("[`").unwrap().split_once("`](").unwrap();
            let path = path.strip_suffix(')').unwrap();
            let file = fs::read_to_string(pages.join(path)).unwrap();
            // Some tests have their names from a macro: "name: server, sentence;".
            let named = [format!("fn {test}("), format!("    {test}:")];
            assert!(named.iter().any(|name| file.contains(name)), "{path} has no test {test}");
        }
    }
}

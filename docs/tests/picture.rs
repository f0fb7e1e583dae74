//! The picture in README.md shows what the tour prints.

use std::path::Path;

use book::picture;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_picture_is_drawn_by_this_tool() {
    let svg = read("docs/src/tour.svg");
    let text = picture::text(&svg).unwrap();
    assert_eq!(picture::draw(&text), svg, "draw it anew: cargo run | cargo run -p book -- picture");
    assert!(read("README.md").contains("](docs/src/tour.svg)"), "README.md shows the picture");
}

/// The READMEs quote the same output, and other tests hold those quotes against real runs.
#[test]
fn the_picture_says_what_the_readmes_quote() {
    let text = picture::text(&read("docs/src/tour.svg")).unwrap();
    let (lesson, tour) = text.split_once("\n[...]\n").unwrap();
    for (page, shown) in [("lessons/01-basic-cancel/README.md", lesson), ("README.md", tour)] {
        let page = words(&read(page));
        let (_, shown) = shown.split_once('\n').unwrap();
        let shown = words(shown);
        assert!(
            page.windows(shown.len()).any(|lines| lines == shown),
            "not quoted; draw the picture anew: cargo run | cargo run -p book -- picture\n{shown:?}"
        );
    }
}

/// The lines without what differs from run to run: numbers, and the lengths of bars.
fn words(text: &str) -> Vec<String> {
    let differs = |c: char| c.is_ascii_digit() || " .█░✂■●".contains(c);
    text.lines().map(|line| line.replace(differs, "")).collect()
}

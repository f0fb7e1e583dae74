//! After the tour's build, no lesson compiles a crate again that the tour has.

use std::collections::HashMap;
use std::process::Command;

/// What `cargo build -p PACKAGE` compiles: each crate with its features.
fn crates(package: &str) -> Vec<(String, String)> {
    let form = ["--prefix", "none", "--edges", "normal,build", "--format", "{p}\t{f}"];
    let mut tree = Command::new(env!("CARGO"));
    let tree = tree.args(["tree", "--locked", "--package", package]).args(form).output().unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let lines = String::from_utf8(tree.stdout).unwrap();
    // "(*)" marks what was listed before.
    let lines = lines.lines().map(|line| line.trim_end_matches(" (*)"));
    let pairs = lines.filter_map(|line| line.split_once('\t'));
    pairs.map(|(name, features)| (name.replace(" (proc-macro)", ""), features.to_owned())).collect()
}

#[test]
fn the_tours_build_serves_every_lesson() {
    let mut tour: HashMap<_, Vec<_>> = HashMap::new();
    for (name, features) in crates("tour") {
        tour.entry(name).or_default().push(features);
    }
    let lessons = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).unwrap();
    for lesson in lessons {
        let folder = lesson.unwrap().file_name().into_string().unwrap();
        let (_, lesson) = folder.split_once('-').unwrap();
        for (name, features) in crates(lesson) {
            let built = tour.get(&name).is_none_or(|built| built.contains(&features));
            assert!(built, "{lesson} compiles {name} with [{features}], not {:?}", tour[&name]);
        }
    }
}

//! What the README shows is what the program prints, but for numbers that differ in each run.

use std::path::Path;
use std::process::Command;

use crate::support::BINARY;

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

#[test]
fn the_readme_shows_what_is_printed() {
    let readme = readme();
    let blocks: Vec<_> = readme.split("```console\n$ ").skip(1).collect();
    assert_eq!(blocks.len(), 2, "console blocks");
    std::thread::scope(|scope| {
        for block in blocks {
            scope.spawn(|| shows_what_is_printed(block));
        }
    });
}

fn shows_what_is_printed(block: &str) {
    let block = block.split("\n```").next().unwrap();
    let (command, shown) = block.split_once('\n').unwrap();
    let program = |word| if word == "mcp-cancel-check" { BINARY } else { word };
    let words: Vec<_> = command.split(' ').map(program).collect();
    let run = Command::new(words[0]).args(&words[1..]).output().unwrap();
    let printed = without_numbers(&String::from_utf8(run.stdout).unwrap());
    let mut rest = &printed[..];
    for part in without_numbers(shown).split("[...]") {
        let part = part.trim();
        let found = rest.split_once(part);
        rest = found.unwrap_or_else(|| panic!("{command} prints no\n{part}\nbut\n{rest}")).1;
    }
}

/// How far a call had come is another number each time, and so is how that was noticed. On a busy
/// machine a call that nobody stops may have come to its end by then. On a slow one, work that only
/// waits may look busy enough for its processes to be a witness too.
fn without_numbers(text: &str) -> String {
    const ONE_OF: [(&str, &str); 2] = [
        ("it went on to step ", "it reported more progress"),
        (
            "list_calls says finished after",
            "list_calls says running, N steps done, 5s after the cancel",
        ),
    ];
    let usual = |line: &str| {
        let line = line.split("; its processes were at work").next().unwrap();
        let other =
            |(words, usual): &(_, _)| Some(format!("{}{usual}", line.split_once(*words)?.0));
        ONE_OF.iter().find_map(other).unwrap_or_else(|| line.to_owned())
    };
    let text = text.lines().map(usual).collect::<Vec<_>>().join("\n");
    let steps = |word: &str| word.chars().all(|c| c.is_ascii_digit());
    let words = text.split(' ').collect::<Vec<_>>();
    let mut kept = Vec::new();
    for (place, word) in words.iter().enumerate() {
        let counts = words.get(place + 1).is_some_and(|next| next.starts_with("steps"));
        kept.push(if counts && steps(word) { "N" } else { word });
    }
    kept.join(" ")
}

#[test]
fn the_readme_names_flaws_and_files_that_exist() {
    let readme = readme();
    let help = Command::new(BINARY).args(["practice", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for flaw in readme.split("--wrong ").skip(1).filter(|rest| !rest.starts_with("FLAW")) {
        let flaw = flaw.split([' ', '`', '\n']).next().unwrap();
        assert!(help.contains(&format!("- {flaw}:")), "there is no flaw {flaw}");
    }
    for file in
        readme.split('`').filter(|word| word.starts_with("src/") || word.starts_with("tests/"))
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        assert!(path.exists(), "there is no {file}");
    }
}

//! Holds the output that a README shows against what the program prints.

use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;

/// The README of this lesson shows what the lesson's program prints. A shorter
/// tick, for commands that name none, changes only numbers:
/// `readme_shows_real_output!("basic-cancel", Some("100ms"));`
#[macro_export]
macro_rules! readme_shows_real_output {
    ($program:literal) => {
        $crate::readme_shows_real_output!($program, None);
    };
    ($program:literal, $tick:expr) => {
        #[test]
        fn readme_shows_real_output() {
            let program = env!(concat!("CARGO_BIN_EXE_", $program));
            let page = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
            $crate::readme::shows_real_output(page, $program, program, $tick);
        }
    };
}

/// Runs the commands of all `console` blocks of the page at once, and compares what each prints
/// with its block. A command that names no tick is given this one. Numbers may differ, and with
/// them the lengths of bars. `[...]` leaves lines out.
pub fn shows_real_output(page: impl AsRef<Path>, package: &str, program: &str, tick: Option<&str>) {
    let page = page.as_ref();
    let text = std::fs::read_to_string(page).unwrap();
    let found: Vec<_> = text.split("```console\n").skip(1).collect();
    assert!(!found.is_empty(), "{} shows no output", page.display());
    std::thread::scope(|scope| {
        for block in found {
            scope.spawn(|| {
                let mut shown = block.split("```").next().unwrap().lines();
                let command = shown.next().unwrap();
                let printed = run(command, package, program, tick);
                let place = format!("{}, {command}", page.display());
                compare(&shown.collect::<Vec<_>>(), &printed, &place);
            });
        }
    });
}

fn compare(shown: &[&str], printed: &str, place: &str) {
    let printed_lines: Vec<_> = printed.lines().map(masked).collect();
    let shown: Vec<_> = shown.iter().map(|line| masked(line)).collect();
    let mut rest = &printed_lines[..];
    for (gap, part) in shown.split(|line| line == "[...]").enumerate() {
        // The first part stands at the start, each further one somewhere after a gap.
        let starts = if gap == 0 { 0 } else { rest.len().saturating_sub(part.len()) };
        let found = (0..=starts).find(|at| rest[*at..].starts_with(part));
        let lines = part.join("\n");
        let at = found.unwrap_or_else(|| panic!("{place}:\n{lines}\n\nis not in\n{printed}"));
        rest = &rest[at + part.len()..];
    }
    assert!(rest.is_empty(), "{place}: there is more than is shown: {rest:?}");
}

/// The printed lines up to the verdict of an exercise end with the lines that are shown. `[...]`
/// leaves out the rest of its line.
pub(crate) fn ends_with(printed: &[u8], shown: &str) {
    let printed = String::from_utf8_lossy(printed);
    let shown: Vec<_> = shown.lines().collect();
    let mut lines: Vec<_> = printed.lines().filter(|line| !line.is_empty()).collect();
    let end = lines.iter().position(|line| line.starts_with('✅')).map_or(0, |at| at + 1);
    lines.truncate(end);
    let same = |(line, shown): (&&str, &&str)| match shown.split_once("[...]") {
        Some((start, _)) => masked(line).starts_with(&masked(start)),
        None => masked(line) == masked(shown),
    };
    let last = &lines[lines.len().saturating_sub(shown.len())..];
    assert!(
        last.len() == shown.len() && last.iter().zip(&shown).all(same),
        "README.md shows\n{}\n\nand this was printed:\n{printed}",
        shown.join("\n")
    );
}

/// What `$ cargo run [-p PACKAGE] [-- OPTIONS]` prints.
fn run(command: &str, package: &str, program: &str, tick: Option<&str>) -> String {
    let arguments = command.strip_prefix("$ cargo run").unwrap();
    let arguments = arguments.replace(&format!("-p {package}"), "").replace(" -- ", " ");
    assert!(!arguments.contains("-p "), "{command} is not about {package}");
    let tick = tick.filter(|_| !arguments.contains("--tick")).map(|tick| ["--tick", tick]);
    let output = Command::new(program)
        .args(arguments.split_whitespace().chain(tick.into_iter().flatten()))
        .timeout(Duration::from_secs(240))
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
    for id in ["Mcp-Session-Id:", "task id:", "trace id:"] {
        if line.contains(id) {
            return id.to_owned();
        }
    }
    // The ids of a story's first requests are the same in each run. Those in a picture are not.
    let picture = line.contains(['█', '●', '■']);
    for c in line.chars() {
        let c = if !picture && masked.ends_with("request ") { c } else { kind(c) };
        if !(matches!(c, '0' | '█' | ' ') && masked.ends_with(c)) {
            masked.push(c);
        }
    }
    // "7.9 ms" and "12 ms" are both a number of milliseconds, and so is "-1.2 %" of percents.
    masked.replace("0.0", "0").replace("-0", "+0")
}

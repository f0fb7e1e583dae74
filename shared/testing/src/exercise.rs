//! Holds the check of an exercise to its verdicts on the stub, a solution and wrong answers.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use course::exercise::{BLOCKED, Check, Exercise, Verdict, judge};

use crate::readme;

/// The check of this lesson's exercise judges its stub, its solution and each wrong answer as it
/// should: `testing::judges!(basic_cancel::process: deaf blocks panics);` A wrong answer says in
/// its first line, `//! Hint: ...`, how the complaint begins.
#[macro_export]
macro_rules! judges {
    ($lesson:ident::$answer:ident: $($wrong:ident)+) => {
        // An answer uses what the lesson has, as `crate::..`.
        #[allow(unused_imports, reason = "not each answer uses something")]
        use $lesson::*;

        #[path = "../../exercise"]
        mod answers {
            pub mod solution;
            pub mod stub;
            pub mod wrong {
                $(pub mod $wrong;)+
            }
        }

        mod judges {
            use super::answers;
            use $crate::exercise::Folder;

            const FOLDER: Folder =
                Folder(concat!(env!("CARGO_MANIFEST_DIR"), "/exercise"), &$lesson::check::EXERCISE);

            #[test]
            fn stub() {
                FOLDER.not_begun(|| Box::pin($lesson::check::check(answers::stub::$answer)));
            }

            #[test]
            fn solution() {
                FOLDER.done(|| Box::pin($lesson::check::check(answers::solution::$answer)));
            }

            #[test]
            fn there_are_no_other_wrong_answers() {
                FOLDER.has_only(&[$(stringify!($wrong)),+]);
            }

            #[test]
            fn readme_shows_real_output() {
                FOLDER.readme();
            }

            mod wrong {
                use super::{FOLDER, answers};
                $(
                    #[test]
                    fn $wrong() {
                        FOLDER.not_yet(stringify!($wrong), || {
                            Box::pin($lesson::check::check(answers::wrong::$wrong::$answer))
                        });
                    }
                )+
            }
        }
    };
}

/// The folder of an exercise.
#[derive(Clone, Copy)]
pub struct Folder(pub &'static str, pub &'static Exercise);

impl Folder {
    pub fn not_begun(self, check: fn() -> Check) {
        assert_eq!(judge(self.1.clock, BLOCKED, check), Verdict::NotBegun);
    }

    /// The solution is right.
    pub fn done(self, check: fn() -> Check) {
        let verdict = judge(self.1.clock, BLOCKED, check);
        assert!(matches!(verdict, Verdict::Done(_)), "{verdict}");
        println!("\n{verdict}");
    }

    /// README shows what the program prints for the solution, or the end of it. A test cannot read
    /// what it prints itself, so it starts the test of the solution once more.
    pub fn readme(self) {
        let readme = std::fs::read_to_string(Path::new(self.0).join("../README.md")).unwrap();
        let section = readme.split("\n## Exercise\n").nth(1).expect("a section \"Exercise\"");
        let shown = section.split("```text\n").nth(1).and_then(|text| text.split("```").next());
        let solution = ["--exact", "judges::solution", "--nocapture", "--test-threads=2"];
        let output = Command::new(std::env::current_exe().unwrap()).args(solution).output();
        readme::ends_with(&output.unwrap().stdout, shown.expect("what a right answer looks like"));
    }

    pub fn not_yet(self, name: &str, check: fn() -> Check) {
        let answer = Path::new(self.0).join("wrong").join(name).with_extension("rs");
        let answer = std::fs::read_to_string(answer).unwrap();
        let hint = answer.lines().next().and_then(|line| line.strip_prefix("//! Hint: "));
        let hint = hint.expect("the first line is `//! Hint: ...`");
        // One that blocks does so for long, and no test waits for as long as a learner may.
        let blocked = if hint.contains("blocks") { Duration::from_secs(1) } else { BLOCKED };
        match judge(self.1.clock, blocked, check) {
            Verdict::NotYet(why) => assert!(why.starts_with(hint), "not {hint:?}, but: {why}"),
            other => panic!("{name} is wrong, and the check says: {other}"),
        }
    }

    /// At least five wrong answers, and all of them judged.
    pub fn has_only(self, names: &[&str]) {
        let files = std::fs::read_dir(Path::new(self.0).join("wrong")).unwrap();
        let name =
            |path: std::path::PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        let found: BTreeSet<_> = files.map(|file| name(file.unwrap().path())).collect();
        assert_eq!(found, names.iter().map(ToString::to_string).collect());
        assert!(found.len() >= 5);
    }
}

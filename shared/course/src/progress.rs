//! A learner's way through the exercises: each verdict, and all of them with a bar.
//!
//! A program knows its own exercise only, and the tour does not depend on the later lessons. So
//! each `exercise` leaves its verdict in a file beside the program, and `progress` reads them.
//! The other way, to build and run all lessons, would take minutes for ten lines.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use anyhow::Context as _;

use crate::cli::ExerciseArgs;
use crate::exercise::{self, BLOCKED, Exercise, Verdict};
use crate::lesson::Lesson;
use crate::narrate::bar;

/// `cargo run -p LESSON -- exercise`
pub(crate) fn exercise(lesson: &Lesson, exercise: &Exercise, what: &ExerciseArgs) -> ExitCode {
    if what.solution {
        print!("{}", exercise.solution);
        return ExitCode::SUCCESS;
    }
    if what.reset {
        let file = Path::new(exercise.file);
        let kept = beside(&format!("{}-was.rs", lesson.name)).map_err(anyhow::Error::from);
        return match kept.and_then(|kept| Ok((reset(file, exercise.stub, &kept)?, kept))) {
            Ok((changed, kept)) => {
                let again = if changed { "again" } else { "already" };
                println!("{} is the stub {again}", short(exercise.file));
                if kept.exists() {
                    println!("What you wrote is in {}", kept.display());
                }
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("❌ {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    println!("✍️  {}: {}", lesson.name, exercise.task());
    println!("   {}", short(exercise.file));
    let verdict = exercise::judge(exercise.clock, BLOCKED, exercise.check);
    println!("{verdict}");
    if verdict == Verdict::NotBegun {
        println!("   The file says at its top what to do. Then run this again.");
    }
    // Only `progress` needs it, and that says "not checked" without it.
    let _ = keep(lesson, &verdict);
    match verdict {
        Verdict::Done(_) => ExitCode::SUCCESS,
        Verdict::NotBegun | Verdict::NotYet(_) => ExitCode::FAILURE,
    }
}

/// `cargo run -- progress`
pub(crate) fn all() -> ExitCode {
    match lines() {
        Ok((next, lines)) => {
            let done = lines.iter().filter(|line| line.contains('✅')).count();
            let bar = bar(done as f64, lines.len() as f64);
            println!("✍️  Exercises  {bar}  {done} of {} done", lines.len());
            for line in lines {
                println!("{line}");
            }
            println!("   \"not checked\": never run, or changed since its last check");
            if let Some(next) = next {
                println!("   Next: cargo run -p {next} -- exercise");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("❌ cannot read the exercises: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The first that is not done, and a line for each.
fn lines() -> io::Result<(Option<String>, Vec<String>)> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../lessons"));
    let mut lessons =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    lessons.sort();
    let (mut next, mut lines) = (None, Vec::new());
    for lesson in lessons {
        // A lesson without a stub has no exercise.
        let Ok(stub) = fs::read_to_string(lesson.join("exercise/stub.rs")) else { continue };
        let folder = lesson.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = folder.split_once('-').map_or(&*folder, |(_, name)| name);
        let (mark, what) = match seen(name, &lesson) {
            Some(seen) if seen.starts_with('✅') => ("✅", exercise::task(&stub).to_owned()),
            Some(seen) => {
                let what = seen.lines().next().unwrap_or_default().trim_start_matches("❌ ");
                let begun = if what.contains("not begun") { "➖" } else { "❌" };
                (begun, what.trim_start_matches("✏️  ").to_owned())
            }
            None => ("➖", format!("not checked: {}", exercise::task(&stub))),
        };
        if mark != "✅" {
            next.get_or_insert_with(|| name.to_owned());
        }
        lines.push(format!("   {mark} {name:18} {what}"));
    }
    Ok((next, lines))
}

/// The last verdict, unless the answer has been written in since.
fn seen(name: &str, lesson: &Path) -> Option<String> {
    let file = beside(name).ok()?;
    let written = fs::metadata(lesson.join("src/exercise.rs")).and_then(|it| it.modified()).ok()?;
    let judged = fs::metadata(&file).and_then(|it| it.modified()).ok()?;
    (judged >= written).then(|| fs::read_to_string(file).ok()).flatten()
}

fn keep(lesson: &Lesson, verdict: &Verdict) -> io::Result<()> {
    fs::write(beside(lesson.name)?, verdict.to_string())
}

/// Puts the stub back. Returns whether it had been written in.
fn reset(file: &Path, stub: &str, kept: &Path) -> anyhow::Result<bool> {
    let written = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    // A second reset must not put the stub in the place of what the first one has kept.
    if written == stub.as_bytes() {
        return Ok(false);
    }
    fs::write(kept, written).with_context(|| format!("cannot write {}", kept.display()))?;
    fs::write(file, stub)?;
    Ok(true)
}

/// A file of the exercises, in the folder of the programs: `cargo clean` removes it.
fn beside(name: &str) -> io::Result<PathBuf> {
    let folder = std::env::current_exe()?.with_file_name("exercises");
    fs::create_dir_all(&folder)?;
    Ok(folder.join(name))
}

/// A lesson's file as a reader of the workspace writes it.
fn short(file: &str) -> &str {
    file.find("lessons/").map_or(file, |at| &file[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_reset_keeps_what_the_first_has_kept() {
        let [file, kept] = ["reset-twice.rs", "reset-twice-was.rs"].map(|it| beside(it).unwrap());
        fs::write(&file, "an answer").unwrap();
        for changed in [true, false] {
            assert_eq!(reset(&file, "the stub", &kept).unwrap(), changed);
            assert_eq!(fs::read_to_string(&file).unwrap(), "the stub");
            assert_eq!(fs::read_to_string(&kept).unwrap(), "an answer");
        }
    }
}

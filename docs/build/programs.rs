//! The programs that a page shows are files that a test runs. A comment before the code block names
//! the file: `<!-- file: lessons/.../abort_2.mjs -->`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

const MARK: &str = "<!-- file: ";

/// A program on a page.
pub struct Program<'a> {
    /// The file, from the root of the repository.
    pub file: &'a str,
    /// What the page shows.
    pub shown: &'a str,
}

/// The programs of a page.
pub fn programs(page: &str) -> Result<Vec<Program<'_>>> {
    page.split(MARK)
        .skip(1)
        .map(|rest| program(rest).with_context(|| format!("{MARK}{}", line(rest))))
        .collect()
}

fn program(rest: &str) -> Result<Program<'_>> {
    let (file, rest) = rest.split_once(" -->\n").context("the comment does not end its line")?;
    let fence = &rest[..rest.len() - rest.trim_start_matches('`').len()];
    ensure!(fence.len() >= 3, "no code block follows the comment");
    let (_, block) = rest.split_once('\n').context("the code block has no lines")?;
    let end = format!("\n{fence}\n");
    let length = block.find(&end).context("the code block does not end")?;
    Ok(Program { file, shown: &block[..=length] })
}

fn line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Writes the files into the page. Returns whether it has changed.
pub fn refresh(root: &Path, page: &Path) -> Result<bool> {
    let text = fs::read_to_string(page)?;
    let mut new = text.clone();
    for program in programs(&text).with_context(|| page.display().to_string())? {
        let mark = format!("{MARK}{} -->\n", program.file);
        let file =
            fs::read_to_string(root.join(program.file)).with_context(|| program.file.to_owned())?;
        let at = new.find(&mark).context("the page names a file twice")? + mark.len();
        let at = at + new[at..].find('\n').map_or(0, |end| end + 1);
        new.replace_range(at..at + program.shown.len(), &file);
    }
    fs::write(page, &new)?;
    Ok(new != text)
}

/// The pages of the book, the lessons' aside.
pub fn pages(root: &Path) -> Result<Vec<PathBuf>> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(root.join("docs/src"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    Ok(pages)
}

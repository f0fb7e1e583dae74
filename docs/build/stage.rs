//! Prepares the pages for mdBook.
//!
//! The staged folder mirrors the repository, so a link from page to page is the same in both. What a
//! code host does by itself is done here: a link to a file or a folder of the repository opens a page
//! that shows it. `docs/src/SUMMARY.md` lists the pages; its line `<!-- lessons -->` stands for the
//! lessons, which are listed from their folders.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use crate::markdown;

const SUMMARY: &str = "docs/src/SUMMARY.md";
const LESSONS: &str = "<!-- lessons -->";
/// The first lesson of each group. The tour, number 0, is in none.
const GROUPS: [(u32, &str); 3] = [(1, "Beginner"), (5, "Intermediate"), (11, "Advanced")];

/// Writes the staged pages and their `SUMMARY.md` to `to`, which is emptied first.
pub fn stage(root: &Path, to: &Path) -> Result<()> {
    let mut stage = Stage { root, to, staged: BTreeSet::new() };
    let mut summary = stage.summary()?;
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    // A linked page may link further, so this goes on until nothing is new.
    let listed = entries(&summary);
    let mut waiting = listed.clone();
    while let Some(page) = waiting.pop() {
        waiting.extend(stage.page(&page)?);
    }
    let linked: Vec<_> = stage.staged.iter().filter(|page| !listed.contains(page)).collect();
    if !linked.is_empty() {
        summary += "\n# Files\n\n";
    }
    for page in linked {
        writeln!(summary, "- [{}]({page})", page.trim_end_matches(".md"))?;
    }
    write(&to.join("SUMMARY.md"), in_book(&summary))
}

struct Stage<'a> {
    root: &'a Path,
    to: &'a Path,
    staged: BTreeSet<String>,
}

impl Stage<'_> {
    /// `SUMMARY.md` with the lessons, and with paths from the root of the repository.
    fn summary(&self) -> Result<String> {
        let text = self.read(SUMMARY)?;
        ensure!(text.contains(LESSONS), "{SUMMARY} has no line {LESSONS}");
        let mut summary = text.clone();
        for link in markdown::links(&text).into_iter().rev() {
            let path = resolve(SUMMARY, &text[link.clone()])?;
            summary.replace_range(link, &path);
        }
        Ok(summary.replace(LESSONS, &self.lessons()?))
    }

    fn lessons(&self) -> Result<String> {
        let mut lessons = BTreeMap::new();
        for folder in self.list("lessons")? {
            let number = folder.split_once('-').and_then(|(number, _)| number.parse::<u32>().ok());
            let number = number.with_context(|| {
                format!("lessons/{folder}: a lesson's folder begins with its number and a hyphen")
            })?;
            lessons.insert(number, format!("lessons/{folder}"));
        }
        let mut summary = String::new();
        let mut current = None;
        for (number, folder) in lessons {
            let group = GROUPS.iter().rev().find(|(first, _)| *first <= number);
            let Some((_, group)) = group else { continue };
            if current.replace(group) != Some(group) {
                write!(summary, "\n# {group}\n\n")?;
            }
            let readme = format!("{folder}/README.md");
            let text = self.read(&readme)?;
            let title = markdown::title(&text).with_context(|| format!("{readme}: no heading"))?;
            writeln!(summary, "- [{title}]({readme})")?;
            for file in
                self.list(&format!("{folder}/src"))?.iter().filter(|f| has_ending(f, &["rs"]))
            {
                writeln!(summary, "  - [src/{file}]({folder}/src/{file}.md)")?;
            }
        }
        Ok(summary)
    }

    /// Stages one page. Returns the pages that it needs.
    fn page(&mut self, page: &str) -> Result<Vec<String>> {
        if !self.staged.insert(page.to_owned()) {
            return Ok(Vec::new());
        }
        if !self.root.join(page).exists() {
            write(&self.to.join(page), &self.shown(page)?)?;
            return Ok(Vec::new());
        }
        let text = self.read(page)?;
        ensure!(!text.contains("{{#"), "{page}: a code host does not know mdBook's {{{{#..}}}}");
        let mut staged = text.clone();
        let mut needed = Vec::new();
        for link in markdown::links(&text).into_iter().rev() {
            let target = &text[link.clone()];
            let (path, place) = target.split_at(target.find('#').unwrap_or(target.len()));
            if path.is_empty() || path.contains(':') {
                continue;
            }
            let file = resolve(page, path)?;
            let there = self.root.join(&file);
            ensure!(there.exists(), "{page} links to {target}, which is not there");
            let readme = format!("{file}/README.md");
            let shown = if there.is_dir() && self.root.join(&readme).exists() {
                readme
            } else if there.is_dir() {
                format!("{file}/files.md")
            } else if has_ending(&file, &["md"]) {
                file
            } else if has_ending(&file, &["svg", "png"]) {
                write(&self.to.join(&file), &fs::read(there)?)?;
                continue;
            } else {
                format!("{file}.md")
            };
            staged.replace_range(link, &format!("{}{}{place}", up(page), in_book(&shown)));
            needed.push(shown);
        }
        write(&self.to.join(in_book(page)), &staged)?;
        Ok(needed)
    }

    /// The text of a page that shows a file or lists a folder.
    fn shown(&self, page: &str) -> Result<String> {
        if let Some(folder) = page.strip_suffix("/files.md") {
            let mut text = format!("# {folder}\n\n");
            for name in self.list(folder)? {
                writeln!(text, "- `{name}`")?;
            }
            return Ok(text);
        }
        let file = page.strip_suffix(".md").unwrap_or(page);
        let language = match Path::new(file).extension().and_then(|ending| ending.to_str()) {
            Some("rs") => "rust",
            Some("py") => "python",
            Some("sh") => "bash",
            Some("mjs" | "js") => "js",
            Some(ending @ ("json" | "toml")) => ending,
            _ => "text",
        };
        Ok(format!("# {file}\n\n{}", markdown::code_block(language, &self.read(file)?)))
    }

    fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(self.root.join(path)).with_context(|| path.to_owned())
    }

    /// The names in a folder, in order.
    fn list(&self, folder: &str) -> Result<BTreeSet<String>> {
        let entries = fs::read_dir(self.root.join(folder)).with_context(|| folder.to_owned())?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }
}

/// The pages that a summary lists.
fn entries(summary: &str) -> Vec<String> {
    markdown::links(summary).into_iter().map(|link| summary[link].to_owned()).collect()
}

/// The path, from the root of the repository, of a link on a page.
fn resolve(page: &str, link: &str) -> Result<String> {
    let mut path: Vec<_> = page.split('/').collect();
    path.pop();
    for part in link.split('/') {
        match part {
            ".." if path.pop().is_none() => bail!("{page} links to {link}, outside the repository"),
            "" | "." | ".." => {}
            part => path.push(part),
        }
    }
    Ok(path.join("/"))
}

/// A code host opens a folder's `README.md`, a browser its `index.html`.
fn in_book(text: &str) -> String {
    text.replace("README.md", "index.md")
}

/// The way from a page to the root of the repository.
fn up(page: &str) -> String {
    "../".repeat(page.matches('/').count())
}

fn has_ending(path: &str, endings: &[&str]) -> bool {
    let ending = Path::new(path).extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| endings.contains(&ending))
}

fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content).with_context(|| path.display().to_string())
}

//! Checks the built book: it has to work as a folder on a disk, without a network.
//!
//! A link to a web site is fine, for a reader may follow it or not. What a page needs to be shown (a
//! script, a style, a picture) must be in the book, and so must every page it links to.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};

/// What is wrong in the book, one sentence each; and how many links were followed.
pub fn check(book: &Path) -> Result<(Vec<String>, usize)> {
    let mut pages = BTreeMap::new();
    read_pages(book, Path::new(""), &mut pages)?;
    let mut wrong = Vec::new();
    let mut followed = 0;
    for (path, page) in &pages {
        for link in &page.links {
            followed += 1;
            if let Err(reason) = follow(book, &pages, path, link) {
                wrong.push(format!("{}: {} {reason}", path.display(), link.target));
            }
        }
    }
    Ok((wrong, followed))
}

#[derive(Default)]
struct Page {
    ids: HashSet<String>,
    links: Vec<Link>,
}

struct Link {
    target: String,
    /// Whether the page is not whole without it.
    loaded: bool,
}

fn read_pages(book: &Path, folder: &Path, pages: &mut BTreeMap<PathBuf, Page>) -> Result<()> {
    let here = book.join(folder);
    for entry in fs::read_dir(&here).with_context(|| here.display().to_string())? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            read_pages(book, &path, pages)?;
        } else if path.extension().is_some_and(|ending| ending == "html") {
            pages.insert(path, page(&fs::read_to_string(entry.path())?));
        }
    }
    Ok(())
}

fn page(html: &str) -> Page {
    let mut page = Page::default();
    let mut rest = html;
    while let Some((_, after)) = rest.split_once('<') {
        let Some((tag, after)) = after.split_once('>') else { break };
        // Only in a script is `<` not the start of a tag.
        let script = tag.starts_with("script");
        rest =
            if script { after.split_once("</script").map_or("", |(_, rest)| rest) } else { after };
        page.ids.extend(attribute(tag, "id"));
        let loaded = ["script", "img", "link", "iframe"].iter().any(|name| tag.starts_with(name));
        for name in ["href", "src"] {
            page.links.extend(attribute(tag, name).map(|target| Link { target, loaded }));
        }
    }
    page
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, value) = tag.split_once(&format!(" {name}=\""))?;
    let (value, _) = value.split_once('"')?;
    Some(value.replace("&amp;", "&"))
}

fn follow(
    book: &Path,
    pages: &BTreeMap<PathBuf, Page>,
    from: &Path,
    link: &Link,
) -> Result<(), &'static str> {
    let target = link.target.as_str();
    if target.starts_with("data:") {
        return Ok(());
    }
    if target.starts_with("http://") || target.starts_with("https://") || target.starts_with("//") {
        return if link.loaded { Err("is loaded from the network") } else { Ok(()) };
    }
    let (path, place) = target.split_once('#').unwrap_or((target, ""));
    let path = path.split('?').next().unwrap_or_default();
    let to = if path.is_empty() { Some(from.to_owned()) } else { resolve(from, path) };
    let to = to.ok_or("leaves the book")?;
    if !book.join(&to).is_file() {
        return Err("is not there");
    }
    let there = place.is_empty() || pages.get(&to).is_none_or(|page| page.ids.contains(place));
    if there { Ok(()) } else { Err("is a place that the page does not have") }
}

/// The path in the book, if the link stays in it.
fn resolve(from: &Path, link: &str) -> Option<PathBuf> {
    let mut path = from.parent()?.to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => path.pop().then_some(())?,
            Component::Normal(name) => path.push(name),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

//! The little Markdown that the tool must understand: code blocks, headings and links.

use std::ops::Range;

/// Where the targets of the links `[text](target)` stand, code aside.
pub fn links(text: &str) -> Vec<Range<usize>> {
    let mut links = Vec::new();
    let mut fence: Option<&str> = None;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let start = line.trim_start();
        let ticks = &start[..start.len() - start.trim_start_matches('`').len()];
        match fence {
            Some(open) if ticks.len() >= open.len() => fence = None,
            None if ticks.len() >= 3 => fence = Some(ticks),
            None => links_of_line(line, offset, &mut links),
            Some(_) => {}
        }
        offset += line.len();
    }
    links
}

fn links_of_line(line: &str, offset: usize, links: &mut Vec<Range<usize>>) {
    let mut in_code = false;
    let mut at = 0;
    while let Some(found) = line[at..].find(['`', ']']) {
        let here = at + found;
        at = here + 1;
        if line[here..].starts_with('`') {
            in_code = !in_code;
        } else if !in_code && line[at..].starts_with('(') {
            let target = at + 1;
            if let Some(length) = line[target..].find(')') {
                links.push(offset + target..offset + target + length);
                at = target + length;
            }
        }
    }
}

/// The text of the page's first heading.
pub fn title(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("# "))
}

/// A code block that can hold any text: its fence is longer than every fence inside.
pub fn code_block(language: &str, text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    format!("{fence}{language}\n{text}{newline}{fence}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(text: &str) -> Vec<&str> {
        links(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn a_link_in_code_is_no_link() {
        assert_eq!(targets("[a](b) `[c](d)` [`e`](f#g) ![h](i.svg)"), ["b", "f#g", "i.svg"]);
        assert_eq!(targets("```md\n[a](b)\n```\n[c](d)\n"), ["d"]);
        assert_eq!(targets("````md\n```\n[a](b)\n```\n````\n[`c`\n](d)\n"), ["d"]);
    }

    #[test]
    fn a_block_holds_its_own_fences() {
        assert_eq!(code_block("md", "```\na\n```"), "````md\n```\na\n```\n````\n");
        assert_eq!(code_block("rs", "a\n"), "```rs\na\n```\n");
    }
}

//! Draws what the tour prints as a picture of a terminal (SVG), for README.md.
//!
//! Fonts differ from machine to machine, and emoji and block characters in them most of all. So each
//! run of letters is given its place and width, and bars are drawn as rectangles.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

/// The width of a character's cell, and the height of a line.
const CELL: f64 = 8.4;
const LINE: f64 = 20.0;
const MARGIN: f64 = 16.0;

/// The first lesson of the tour's output, and its end.
pub fn excerpt(tour: &str) -> Result<String> {
    let (first, rest) = tour.split_once("\n\n🚀").context("the tour plays more than one lesson")?;
    let (_, end) = rest.split_once("\n🎉").context("the tour ends with 🎉 and its lessons")?;
    Ok(format!("$ cargo run\n{}\n[...]\n🎉{}\n", first.trim_end(), end.trim_end()))
}

/// The picture. Its description is the text, so it can be read aloud and drawn again.
pub fn draw(text: &str) -> String {
    let columns = text.lines().map(width).max().unwrap_or(0);
    let rows = text.lines().count();
    let (wide, high) =
        (at(columns) + MARGIN, f64::from(u32::try_from(rows).unwrap_or(0)) * LINE + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide:.0} {high:.0}\" \
         width=\"{wide:.0}\" height=\"{high:.0}\" role=\"img\">\n\
         <title>What the tour prints</title>\n<desc>\n{}</desc>\n\
         <style>text {{ font: 14px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; \
         fill: #d8dee9; white-space: pre }} .faint {{ fill: #8b949e }} .good {{ fill: #7ee787 }} \
         .bar {{ fill: #58a6ff }} .rest {{ fill: #30363d }} .stop {{ fill: #ff7b72 }}</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#0d1117\"/>\n",
        escaped(text)
    );
    let mut baseline = MARGIN - 5.0;
    for line in text.lines() {
        baseline += LINE;
        let class = match line.trim_start().chars().next() {
            Some('$' | '[') => "faint",
            Some('✅' | '🎉') => "good",
            Some('🛑') => "stop",
            _ => "text",
        };
        let mut column = 0;
        for run in runs(line) {
            let cells = width(run);
            draw_run(&mut svg, run, class, at(column), baseline, at(cells) - MARGIN);
            column += cells;
        }
    }
    svg + "</svg>\n"
}

fn at(column: usize) -> f64 {
    MARGIN + f64::from(u32::try_from(column).unwrap_or(0)) * CELL
}

/// What a line is drawn in.
#[derive(PartialEq, Clone, Copy)]
enum Kind {
    Text,
    Space,
    Done,
    Open,
    Sign,
    Emoji,
}

fn kind(c: char) -> Kind {
    match c {
        ' ' => Kind::Space,
        '█' => Kind::Done,
        '░' => Kind::Open,
        '✂' | '■' | '●' => Kind::Sign,
        '✅' | '❌' => Kind::Emoji,
        c if c >= '\u{1f000}' => Kind::Emoji,
        _ => Kind::Text,
    }
}

/// The line in pieces that are drawn in one go. A single space belongs to the words around it.
fn runs(line: &str) -> Vec<&str> {
    let mut runs = Vec::new();
    let mut start = 0;
    let chars: Vec<_> = line.char_indices().collect();
    for pair in chars.windows(2) {
        let ((_, before), (at, c)) = (pair[0], pair[1]);
        let alone = matches!(kind(c), Kind::Emoji | Kind::Sign);
        let words = |c| matches!(kind(c), Kind::Text | Kind::Space);
        let joined = words(before) && words(c) && !(line[start..at].ends_with("  "));
        if alone || !(joined || kind(before) == kind(c)) {
            runs.push(&line[start..at]);
            start = at;
        }
    }
    runs.push(&line[start..]);
    runs
}

fn width(text: &str) -> usize {
    text.chars().map(|c| if kind(c) == Kind::Emoji { 2 } else { 1 }).sum()
}

fn draw_run(svg: &mut String, run: &str, class: &str, x: f64, baseline: f64, wide: f64) {
    let Some(first) = run.chars().next() else { return };
    let top = baseline - 12.0;
    let middle = x + wide / 2.0;
    let written = match kind(first) {
        Kind::Done | Kind::Open => {
            let class = if kind(first) == Kind::Done { "bar" } else { "rest" };
            writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"14\" class=\"{class}\"/>"
            )
        }
        Kind::Emoji | Kind::Sign => {
            let class = match first {
                '✂' | '■' => "stop",
                '●' => "good",
                _ => class,
            };
            writeln!(
                svg,
                "<text x=\"{middle:.1}\" y=\"{baseline:.1}\" text-anchor=\"middle\" class=\"{class}\">{first}</text>"
            )
        }
        Kind::Text | Kind::Space if run.trim().is_empty() => return,
        Kind::Text | Kind::Space => {
            let before = run.len() - run.trim_start().len();
            let x = x + at(before) - MARGIN;
            let wide = at(width(run.trim())) - MARGIN;
            writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{baseline:.1}\" textLength=\"{wide:.1}\" class=\"{class}\">{}</text>",
                escaped(run.trim())
            )
        }
    };
    written.unwrap_or_default();
}

/// The text that a picture shows.
pub fn text(svg: &str) -> Option<String> {
    let (_, rest) = svg.split_once("<desc>\n")?;
    let (text, _) = rest.split_once("</desc>")?;
    Some(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

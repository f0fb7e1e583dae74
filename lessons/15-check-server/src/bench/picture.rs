//! The numbers as bars (SVG), for the docs.

use std::fmt::Write as _;

use super::Bench;
use super::measure::Run;

const WIDE: f64 = 760.0;
const NAMES: f64 = 200.0;
const BARS: f64 = 420.0;
const LINE: f64 = 22.0;

/// What is drawn: a title, and what a run has of it.
type Panel = (&'static str, fn(&Run) -> Option<f64>);

const PANELS: [Panel; 3] = [
    ("from a cancel to the tool's end, ms (shorter is better)", |run| Some(run.latency.tool?.p50)),
    ("calls started and cancelled per second, 32 at once (longer is better)", |run| {
        run.cycles.last().map(|cycles| cycles.per_second)
    }),
    ("the last call of the largest storm is over, ms (shorter is better)", |run| {
        run.storms.last()?.last()
    }),
];

pub fn draw(bench: &Bench) -> String {
    let mut body = String::new();
    let mut y = 30.0;
    for revision in ["2025-11-25", "2026-07-28"] {
        let runs: Vec<_> = bench.runs.iter().filter(|run| run.revision == revision).collect();
        for (title, value) in PANELS {
            let bars: Vec<_> = runs.iter().filter_map(|run| Some((*run, value(run)?))).collect();
            let longest = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
            if longest <= 0.0 {
                continue;
            }
            let _ = writeln!(
                body,
                "<text x=\"20\" y=\"{y}\" class=\"title\">{revision}: {title}</text>"
            );
            y += LINE;
            for (place, (run, value)) in bars.iter().enumerate() {
                let wide = (value / longest * BARS).max(1.0);
                let (top, end) = (y - 13.0, NAMES + wide + 8.0);
                let class = if place == 0 { "own" } else { "bar" };
                let shown =
                    if *value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") };
                let _ = writeln!(
                    body,
                    "<text x=\"20\" y=\"{y}\">{}</text>\
                     <rect x=\"{NAMES}\" y=\"{top}\" width=\"{wide:.1}\" height=\"15\" class=\"{class}\"/>\
                     <text x=\"{end:.1}\" y=\"{y}\">{shown}</text>",
                    escaped(&run.server)
                );
                y += LINE;
            }
            y += LINE / 2.0;
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDE} {y}\" width=\"{WIDE}\" \
         height=\"{y}\" role=\"img\">\n<title>How fast servers are at being told to stop</title>\n\
         <style>text {{ font: 13px system-ui, sans-serif; fill: #d8dee9 }} .title {{ fill: #8b949e }} \
         .own {{ fill: #7ee787 }} .bar {{ fill: #58a6ff }}</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#0d1117\"/>\n{body}</svg>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

//! The survey in one picture (SVG): one line an entry, one mark a verdict.

use std::fmt::Write;

use serde_json::Value;

use super::report::{findings, list, run, word};

const WIDE: usize = 780;
/// Where the marks begin, and the width of one.
const MARKS: usize = 375;
const MARK: usize = 36;
const LINE: usize = 19;

/// Each colour has a shape of its own. A picture on a page follows its reader's light or dark.
const STYLE: &str = "text { font: 12px system-ui, sans-serif; fill: #1f2328 } \
    .head { fill: #59636e; font-size: 11px } .col { text-anchor: middle } .title { font-size: 15px; font-weight: 600 } .paper { fill: #ffffff } \
    .stops { fill: #1a7f37 } .late { fill: #bf8700 } .on { fill: #cf222e } .none { fill: #afb8c1 } \
    .says { fill: #ffffff; font-weight: 700 } \
    @media (prefers-color-scheme: dark) { text { fill: #d8dee9 } .head { fill: #8b949e } \
    .paper { fill: #0d1117 } .stops { fill: #3fb950 } .late { fill: #d29922 } .on { fill: #f85149 } \
    .none { fill: #484f58 } .says { fill: #0d1117 } }";

const CLIENTS: [(&str, &str, &str); 11] = [
    ("2025-11-25", "stop", "stop"),
    ("2025-11-25", "timeout", "time"),
    ("2025-11-25", "close", "close"),
    ("2025-11-25", "interrupt", "^C"),
    ("2025-11-25", "kill", "kill"),
    ("2026-07-28", "stop", "stop"),
    ("2026-07-28", "timeout", "time"),
    ("2026-07-28", "close", "close"),
    ("2026-07-28", "interrupt", "^C"),
    ("2026-07-28", "kill", "kill"),
    ("stdio", "stop", "stop"),
];

#[derive(Default)]
struct Picture {
    body: String,
    y: usize,
}

pub fn draw(seen: &Value) -> String {
    let mut picture = Picture::default();
    picture.line("title", 20, "Who really stops?");
    picture.text(MARKS, "head", &format!("Seen on {}", word(&seen["date"])));
    picture.legend();

    picture.line("title", 20, "Clients");
    picture.text(MARKS, "head", "HTTP 2025-11-25");
    picture.text(MARKS + 5 * MARK, "head", "HTTP 2026-07-28");
    picture.text(MARKS + 10 * MARK, "head", "stdio");
    picture.heads(&CLIENTS.map(|(_, _, head)| head));
    for client in list(&seen["clients"]) {
        picture.line("", 20, word(&client["title"]));
        for (column, (over, way, _)) in CLIENTS.into_iter().enumerate() {
            picture.mark(column, run(client, over, way));
        }
    }

    picture.y += LINE / 2;
    picture.line("title", 20, "Servers");
    picture.text(MARKS, "head", "a cancel");
    picture.heads(&["awaits", "blocks", "child"]);
    picture.text(MARKS + 3 * MARK, "head", "both mended");
    let mut name = "";
    let mut column = 0;
    for row in list(&seen["servers"]) {
        if word(&row["name"]) != name {
            (name, column) = (word(&row["name"]), 0);
            picture.line("", 20, word(&row["title"]));
            let tools: Vec<_> =
                list(&seen["servers"]).filter(|row| word(&row["name"]) == name).collect();
            let mut found: Vec<_> = tools.iter().flat_map(|row| findings(row)).collect();
            found.sort_unstable();
            found.dedup();
            if tools.len() == 1 {
                found.insert(0, word(&row["does"]));
            }
            let after = MARKS + tools.len() * MARK;
            picture.text(after, "head", &found.join(", ").replace('`', ""));
        }
        picture.mark(column, Some(row));
        column += 1;
    }
    let (body, high) = (picture.body, picture.y + LINE);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDE} {high}\" width=\"{WIDE}\" \
         height=\"{high}\" role=\"img\">\n<title>Who really stops: clients and servers</title>\n\
         <style>{STYLE}</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" class=\"paper\"/>\n{body}</svg>\n"
    )
}

impl Picture {
    fn line(&mut self, class: &str, x: usize, text: &str) {
        self.y += if class == "title" { LINE * 3 / 2 } else { LINE };
        self.text(x, class, text);
    }

    fn text(&mut self, x: usize, class: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        let _ = writeln!(self.body, "<text x=\"{x}\" y=\"{}\"{class}>{text}</text>", self.y);
    }

    fn heads(&mut self, heads: &[&str]) {
        self.y += LINE;
        for (column, head) in heads.iter().enumerate() {
            self.text(MARKS + column * MARK + 6, "head col", head);
        }
    }

    fn legend(&mut self) {
        self.y += LINE * 3 / 2;
        let mut x = 26;
        for (verdict, says, text) in [
            ("stops", false, "stops"),
            ("late", false, "late"),
            ("runs on", false, "runs on"),
            ("runs on", true, "runs on, and its caller is told that it is over"),
            ("", false, "none, or not tried"),
        ] {
            self.shape(x, verdict, says);
            self.text(x + 12, "head", text);
            x += 40 + text.len() * 6;
        }
        self.y += LINE / 2;
    }

    fn mark(&mut self, column: usize, run: Option<&Value>) {
        let verdict = run.map_or("", |run| word(&run["verdict"]));
        let told = run.map_or("", |run| word(&run["told"]));
        // Without a word of its end, or with the result at the end, nobody was told anything wrong.
        let waits = ["", "more progress", "the client is closed"].contains(&told)
            || told.starts_with("nothing")
            || told.contains("Successfully processed");
        self.shape(MARKS + column * MARK + 6, verdict, verdict == "runs on" && !waits);
    }

    fn shape(&mut self, x: usize, verdict: &str, says: bool) {
        let y = self.y - 4;
        let (left, top) = (x - 6, y - 6);
        let shape = match verdict {
            "stops" => format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"6\" class=\"stops\"/>"),
            "late" => format!("<path d=\"M{left} {0}h12l-6 -12z\" class=\"late\"/>", y + 6),
            "runs on" => {
                format!("<rect x=\"{left}\" y=\"{top}\" width=\"12\" height=\"12\" class=\"on\"/>")
            }
            _ => format!("<rect x=\"{left}\" y=\"{y}\" width=\"12\" height=\"2\" class=\"none\"/>"),
        };
        self.body += &shape;
        if says {
            let _ = write!(
                self.body,
                "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" class=\"says\">!</text>",
                y + 5
            );
        }
        self.body.push('\n');
    }
}

//! What the survey has seen: for people, and as docs/src/who-stops.md.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use super::picture;

/// For people.
pub fn table(seen: &Value) -> String {
    let mut text = String::new();
    for client in list(&seen["clients"]) {
        let _ = writeln!(text, "\n{}", word(&client["title"]));
        for run in list(&client["runs"]) {
            let verdict = word(&run["verdict"]);
            let how = format!("{} {}", word(&run["over"]), word(&run["way"]));
            let rest = if run["steps"].is_null() {
                word(&run["why"]).to_owned()
            } else {
                let reason = run["reason"].as_str().map(|reason| format!(", reason {reason:?}"));
                let told = cut(word(&run["told"]));
                let told = (!told.is_empty()).then(|| format!("; the caller is told {told}"));
                let (steps, reason) = (&run["steps"], reason.unwrap_or_default());
                format!("{steps} steps{reason}{}", told.unwrap_or_default())
            };
            let _ = writeln!(text, "{} {how:20} {verdict:8} {rest}", mark(verdict));
        }
    }
    let mut title = "";
    for row in list(&seen["servers"]) {
        if word(&row["title"]) != title {
            title = word(&row["title"]);
            let _ = writeln!(text, "\n{title}");
        }
        let verdict = word(&row["verdict"]);
        let rest = if row["steps"].is_null() {
            word(&row["why"]).to_owned()
        } else {
            let (told, end) = (cut(word(&row["told"])), word(&row["at_the_end"]));
            let mut said = format!("the caller hears {told}; at the end of input: {end}");
            for found in findings(row) {
                let _ = write!(said, "; {found}");
            }
            said
        };
        let _ = writeln!(text, "{} {:34} {verdict:8} {rest}", mark(verdict), word(&row["does"]));
    }
    let _ = writeln!(text);
    for (name, why) in seen["left_out"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "➖ {name}: left out, {}", word(why));
    }
    for entry in list(&seen["not_installed"]) {
        let (name, install) = (word(&entry["name"]), word(&entry["install"]));
        let _ = writeln!(text, "➖ {name}: not tried. First: {install}");
    }
    text
}

/// The tables of the page.
pub fn markdown(seen: &Value) -> String {
    TABLES.map(|(_, table)| table(seen)).join("\n")
}

/// Writes the tables into who-stops.md, and beside it what they are made of, and a picture.
pub fn write(seen: &Value, folder: &Path) -> anyhow::Result<()> {
    let page = folder.join("who-stops.md");
    let mut text = std::fs::read_to_string(&page)
        .with_context(|| format!("{} cannot be read", page.display()))?;
    for (name, table) in TABLES {
        let mark = format!("<!-- survey: {name} -->\n");
        let (before, after) =
            text.split_once(&mark).with_context(|| format!("{} has no {mark}", page.display()))?;
        let (_, after) = after.split_once("\n\n").context("a table ends with an empty line")?;
        text = format!("{before}{mark}{}\n{after}", table(seen));
    }
    std::fs::write(page, text)?;
    std::fs::write(folder.join("who-stops.svg"), picture::draw(seen))?;
    std::fs::write(folder.join("who-stops.json"), format!("{seen:#}\n"))?;
    Ok(())
}

type Table = (&'static str, fn(&Value) -> String);

const TABLES: [Table; 4] = [
    ("date", |seen| format!("Seen on {}.\n", word(&seen["date"]))),
    ("clients on 2025-11-25", legacy),
    ("clients on 2026-07-28", modern),
    ("servers", servers),
];

const WAYS: [&str; 5] = ["stop", "timeout", "close", "interrupt", "kill"];

fn legacy(seen: &Value) -> String {
    let mut text =
        "| client | stop | its timeout | closing it | Ctrl-C | kill | stdio: stop | program |\n\
                    |---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for client in list(&seen["clients"]) {
        let mut cells = WAYS.map(|way| cell(client, "2025-11-25", way)).join(" | ");
        let _ = write!(cells, " | {}", cell(client, "stdio", "stop"));
        let (title, program) = (word(&client["title"]), word(&client["program"]));
        let _ = writeln!(text, "| {title} | {cells} | `{program}` |");
    }
    text
}

fn modern(seen: &Value) -> String {
    let mut text = "| client | stop | its timeout | closing it | Ctrl-C | kill | program |\n\
                    |---|---|---|---|---|---|---|\n"
        .to_owned();
    let speaks = |client: &&Value| list(&client["runs"]).any(|run| run["over"] == "2026-07-28");
    for client in list(&seen["clients"]).filter(speaks) {
        let cells = WAYS.map(|way| cell(client, "2026-07-28", way)).join(" | ");
        let (title, program) = (word(&client["title"]), word(&client["program"]));
        let _ = writeln!(text, "| {title} | {cells} | `{program}` |");
    }
    text
}

/// What a client did, and what its caller was told if somebody was there to hear it.
fn cell(client: &Value, over: &str, way: &str) -> String {
    let Some(run) = run(client, over, way) else {
        let none = list(&client["lacks"]).any(|one| one == way || one == over);
        return if none { "none" } else { "-" }.to_owned();
    };
    let verdict = bold(word(&run["verdict"]));
    match way {
        "stop" | "timeout" if over != "stdio" => format!("{verdict}; {}", kind(word(&run["told"]))),
        _ => verdict,
    }
}

/// A client's run in one of its ways.
pub fn run<'a>(client: &'a Value, over: &str, way: &str) -> Option<&'a Value> {
    list(&client["runs"]).find(|run| run["over"] == over && run["way"] == way)
}

fn servers(seen: &Value) -> String {
    let mut text =
        "| server | its tool | the work | the caller hears | at the end of input | its name |\n\
                    |---|---|---|---|---|---|\n"
            .to_owned();
    for row in list(&seen["servers"]) {
        let (mut work, mut end) = (bold(word(&row["verdict"])), bold(word(&row["at_the_end"])));
        for found in findings(row) {
            let cell = if found == LEFT { &mut end } else { &mut work };
            let _ = write!(cell, ", **{found}**");
        }
        let _ = writeln!(
            text,
            "| {} | {} | {work} | {} | {end} | `{}` |",
            word(&row["title"]),
            word(&row["does"]),
            cut(word(&row["told"])),
            word(&row["tool"]),
        );
    }
    text
}

const LEFT: &str = "children left";

/// What else is wrong with a server.
pub fn findings(row: &Value) -> impl Iterator<Item = &'static str> {
    let blocked = (row["blocked"] == true).then_some("blocked");
    let silenced = (row["silenced"] == true && row["blocked"] != true).then_some("silenced");
    let left = (row["left"] == true).then_some(LEFT);
    [blocked, silenced, left].into_iter().flatten()
}

fn mark(verdict: &str) -> &'static str {
    match verdict {
        "stops" => "✅",
        "late" => "🐌",
        "runs on" => "❌",
        _ => "❔",
    }
}

fn bold(verdict: &str) -> String {
    if verdict == "stops" { verdict.to_owned() } else { format!("**{verdict}**") }
}

/// The name of an error, or what else the caller was told in a word.
fn kind(told: &str) -> String {
    let name: String = told.chars().take_while(char::is_ascii_alphanumeric).collect();
    let after = told[name.len()..].chars().next();
    if !name.is_empty() && matches!(after, Some('(' | ':')) {
        format!("`{name}`")
    } else if told.to_lowercase().contains("error") || told.contains("imed out") {
        "a result that is an error".to_owned()
    } else if told.is_empty() {
        "nothing".to_owned()
    } else {
        format!("\"{}\"", cut(told))
    }
}

pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Other people's words: without control characters, and not too many.
fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(120).collect()
}

//! What the survey has seen: for people, and as the tables of docs/src/who-stops.md.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

/// What each client did, for people.
pub fn table(clients: &[Value]) -> String {
    let mut text = String::new();
    for client in clients {
        let _ = writeln!(text, "\n{}", word(&client["title"]));
        for run in client["runs"].as_array().into_iter().flatten() {
            let verdict = word(&run["verdict"]);
            let how = format!("{} {}", word(&run["revision"]), word(&run["way"]));
            let rest = if run["steps"].is_null() {
                word(&run["why"]).to_owned()
            } else {
                let reason = run["reason"].as_str().map(|reason| format!(", reason {reason:?}"));
                let (steps, reason) = (&run["steps"], reason.unwrap_or_default());
                format!("{steps} steps{reason}; the caller is told {}", cut(word(&run["told"])))
            };
            let _ = writeln!(text, "{} {how:18} {verdict:8} {rest}", mark(verdict));
        }
    }
    text
}

/// The rows of the page.
pub fn markdown(clients: &[Value]) -> String {
    let mut text = String::new();
    for client in clients {
        let _ = write!(text, "| {} |", word(&client["title"]));
        for (revision, way) in [
            ("2025-11-25", "stop"),
            ("2025-11-25", "timeout"),
            ("2026-07-28", "stop"),
            ("2026-07-28", "timeout"),
        ] {
            let mut runs = client["runs"].as_array().into_iter().flatten();
            let run = runs.find(|run| run["revision"] == revision && run["way"] == way);
            let _ = write!(text, " {} |", run.map_or_else(|| "-".to_owned(), cell));
        }
        let _ = writeln!(text, " `{}` |", word(&client["program"]));
    }
    text
}

/// What each server did, for people.
pub fn table_of_servers(rows: &[Value]) -> String {
    let (mut text, mut title) = (String::new(), "");
    for row in rows {
        if word(&row["title"]) != title {
            title = word(&row["title"]);
            let _ = writeln!(text, "\n{title}");
        }
        let verdict = word(&row["verdict"]);
        let rest = if row["steps"].is_null() {
            word(&row["why"]).to_owned()
        } else {
            let blocked = if row["blocked"] == true { "; nobody else is answered" } else { "" };
            let (told, end) = (cut(word(&row["told"])), word(&row["at_the_end"]));
            format!("the caller hears {told}{blocked}; at the end of input: {end}")
        };
        let _ = writeln!(text, "{} {:34} {verdict:8} {rest}", mark(verdict), word(&row["does"]));
    }
    text
}

/// What was not tried, and how to.
pub fn not_tried(missing: &[String], left_out: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (name, why) in left_out {
        let _ = writeln!(text, "➖ {name}: left out, {why}");
    }
    if !missing.is_empty() {
        let _ =
            writeln!(text, "➖ not installed; `mcp-cancel-check survey install NAME...` does it:");
        let _ = writeln!(text, "   {}", missing.join(" "));
    }
    text
}

/// The rows of the page.
pub fn markdown_of_servers(rows: &[Value]) -> String {
    let mut text = String::new();
    for row in rows {
        let bold = |verdict: &str| match verdict {
            "stops" => "stops".to_owned(),
            other => format!("**{other}**"),
        };
        let blocked = if row["blocked"] == true { ", **blocked**" } else { "" };
        let _ = writeln!(
            text,
            "| {} | {} | {}{blocked} | {} | {} | `{}` |",
            word(&row["title"]),
            word(&row["does"]),
            bold(word(&row["verdict"])),
            cut(word(&row["told"])),
            bold(word(&row["at_the_end"])),
            word(&row["tool"]),
        );
    }
    text
}

fn mark(verdict: &str) -> &'static str {
    match verdict {
        "stops" => "✅",
        "late" => "🐌",
        "runs on" => "❌",
        _ => "❔",
    }
}

fn cell(run: &Value) -> String {
    let told = kind(word(&run["told"]));
    match word(&run["verdict"]) {
        "stops" => format!("stops; {told}"),
        verdict => format!("**{verdict}**; {told}"),
    }
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

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Other people's words: without control characters, and not too many.
fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(120).collect()
}

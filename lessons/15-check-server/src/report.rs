//! The report: for people, as JSON, as `JUnit`.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::catalogue::behaviour;
use crate::finding::{Finding, Verdict};

const VERDICTS: [Verdict; 6] = [
    Verdict::Pass,
    Verdict::Fail,
    Verdict::Warn,
    Verdict::Remark,
    Verdict::NotObservable,
    Verdict::NotApplicable,
];

/// A table. What passed or does not apply is told in one line each.
pub fn table(findings: &[Finding]) -> String {
    let mut text = String::new();
    let mut lane = "";
    for finding in findings {
        if finding.lane != lane {
            lane = &finding.lane;
            let _ = writeln!(text, "\n{lane}");
        }
        let mark = match finding.verdict {
            Verdict::Pass => "✅",
            Verdict::Fail => "❌",
            Verdict::Warn => "❗",
            Verdict::Remark => "💬",
            Verdict::NotObservable => "❔",
            Verdict::NotApplicable => "➖",
        };
        let (number, known) = (finding.number, behaviour(finding.number));
        let name = finding.verdict.name();
        let _ = writeln!(text, "{mark} {number:2} {name:14} {}: {}", known.title, finding.seen);
        if finding.false_stop {
            let _ = writeln!(
                text,
                "   FALSE STOP: the caller believes that the work has stopped, and it has not"
            );
        }
        if matches!(finding.verdict, Verdict::Fail | Verdict::Warn) {
            let _ = writeln!(text, "   expected: {} ({})", known.expected, known.section);
        }
    }
    let _ = writeln!(text, "\n{}", summary(findings));
    text
}

/// How many of each.
pub fn summary(findings: &[Finding]) -> String {
    let counts = VERDICTS.map(|verdict| {
        let count = findings.iter().filter(|finding| finding.verdict == verdict).count();
        format!("{count} {}", verdict.name())
    });
    counts.join(", ")
}

/// The exchange behind the verdicts on this behaviour.
pub fn exchange(findings: &[Finding], number: u32) -> String {
    let mut text = String::new();
    for finding in findings.iter().filter(|finding| finding.number == number) {
        let _ = writeln!(text, "\n{} {}: {}", finding.lane, number, behaviour(number).title);
        for frame in &finding.exchange {
            let _ = writeln!(text, "{}", frame.line());
        }
    }
    text
}

pub fn as_json(subject: &Value, findings: &[Finding]) -> Value {
    let all: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let known = behaviour(finding.number);
            json!({ "number": finding.number, "title": known.title, "lane": finding.lane,
                "verdict": finding.verdict.name(), "expected": known.expected,
                "seen": finding.seen, "section": known.section,
                "false_stop": finding.false_stop })
        })
        .collect();
    let summary: serde_json::Map<String, Value> = VERDICTS
        .iter()
        .map(|verdict| {
            let count = findings.iter().filter(|finding| finding.verdict == *verdict).count();
            (verdict.name().to_owned(), count.into())
        })
        .collect();
    json!({ "schema": 1, "subject": subject, "findings": all, "summary": summary })
}

/// A fail is a failure; what was not seen or does not apply is skipped.
pub fn junit(findings: &[Finding]) -> String {
    let failures = findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        text,
        "<testsuite name=\"mcp-cancel-check\" tests=\"{}\" failures=\"{failures}\">",
        findings.len()
    );
    for finding in findings {
        let known = behaviour(finding.number);
        let (title, lane) = (escape(known.title), escape(&finding.lane));
        let seen = escape(&finding.seen);
        let body = match finding.verdict {
            Verdict::Fail => format!("<failure message=\"{seen}\"/>"),
            Verdict::NotApplicable | Verdict::NotObservable => {
                format!("<skipped message=\"{seen}\"/>")
            }
            verdict => format!("<system-out>{}: {seen}</system-out>", verdict.name()),
        };
        let number = finding.number;
        let _ = writeln!(
            text,
            "  <testcase classname=\"{lane}\" name=\"{number} {title}\">{body}</testcase>"
        );
    }
    text + "</testsuite>\n"
}

fn escape(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

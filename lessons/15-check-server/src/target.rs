//! What is checked: which tool is called, and what tells about its work.

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::wire::{FIRST_ANSWERS, Wire};

/// The probe tool of the README.
pub const PROBE: &str = "cancel_probe";
/// The status tool of this repository's servers.
pub const STATUS: &str = "list_calls";

/// The slow tool that the checker calls.
#[derive(Debug, Clone)]
pub struct Tool {
    pub name: String,
    pub arguments: Value,
    /// How it was found.
    pub why: &'static str,
}

/// A tool that tells about the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    None,
    /// Answers `{"calls":[..]}`.
    Status(String),
    Probe,
}

/// What the user says about the server's tools.
#[derive(Debug, Clone, Default, Args)]
pub struct Wishes {
    /// The slow tool to call and cancel; it should work for ten seconds
    #[arg(long, value_name = "NAME")]
    pub tool: Option<String>,
    /// Its arguments
    #[arg(long = "args", value_name = "JSON", requires = "tool", value_parser = arguments)]
    pub arguments: Option<Value>,
    /// A tool that tells about running calls, as `list_calls` does
    #[arg(long = "status-tool", value_name = "NAME")]
    pub status: Option<String>,
}

/// The arguments of a tool, from the command line.
fn arguments(text: &str) -> anyhow::Result<Value> {
    let value: Value = serde_json::from_str(text).context("this is no JSON")?;
    if !value.is_object() {
        bail!("this must be a JSON object, like {{\"seconds\": 10}}");
    }
    Ok(value)
}

/// A server's URL, from the command line.
pub fn plain_http(url: &str) -> anyhow::Result<String> {
    let parsed = reqwest::Url::parse(url);
    let has_scheme = url.contains("://");
    // `localhost:8000/mcp` is a URL, whose scheme is `localhost`. `127.0.0.1:8000` is none.
    if !has_scheme && url.contains([':', '/', '.']) {
        bail!("begin it with http://");
    }
    let parsed = parsed.context("this is no URL")?;
    if parsed.scheme() != "http" {
        bail!("plain http only; put a proxy in front of a server that speaks TLS");
    }
    Ok(url.to_owned())
}

/// Picks a slow tool. Never one that it was not told of and does not recognize.
pub async fn pick(wire: &Wire, wishes: &Wishes) -> anyhow::Result<(Tool, Source)> {
    let tools = list(wire).await?;
    let has = |name: &str| tools.iter().any(|tool| tool["name"] == name);
    let tool = if let Some(name) = &wishes.tool {
        if !has(name) {
            bail!("the server has no tool `{name}`; it has: {}", names(&tools));
        }
        let arguments = wishes.arguments.clone().unwrap_or_else(|| json!({}));
        Tool { name: name.clone(), arguments, why: "named with --tool" }
    } else {
        let probe = tools.iter().find(|tool| tool["name"] == PROBE);
        let known = probe.or_else(|| tools.iter().find(|tool| recognized(tool).is_some()));
        let found = known.and_then(|tool| Some((tool["name"].as_str()?, recognized(tool)?)));
        let Some((name, arguments)) = found else {
            bail!(
                "no slow tool is recognized among: {}; name one with --tool NAME --args JSON",
                names(&tools)
            );
        };
        let why = if name == PROBE { "the probe" } else { "recognized by name and schema" };
        Tool { name: name.to_owned(), arguments, why }
    };
    let source = match &wishes.status {
        Some(name) if has(name) => Source::Status(name.clone()),
        Some(name) => bail!("the server has no tool `{name}`; it has: {}", names(&tools)),
        None if tool.name == PROBE => Source::Probe,
        None if has(STATUS) => Source::Status(STATUS.to_owned()),
        None => Source::None,
    };
    Ok((tool, source))
}

async fn list(wire: &Wire) -> anyhow::Result<Vec<Value>> {
    const PAGES: usize = 20;
    let mut tools = Vec::new();
    let mut params = json!({});
    for _ in 0..PAGES {
        let mut page = wire.ask("tools/list", params, FIRST_ANSWERS).await?;
        let more = page
            .get_mut("tools")
            .and_then(Value::as_array_mut)
            .context("`tools/list` named no tools")?;
        tools.append(more);
        match page["nextCursor"].as_str() {
            Some(cursor) => params = json!({ "cursor": cursor }),
            None => break,
        }
    }
    Ok(tools)
}

/// The arguments for ten seconds of harmless work or more, if the tool is one that we know.
fn recognized(tool: &Value) -> Option<Value> {
    let name = tool["name"].as_str()?.to_lowercase();
    if name == PROBE {
        return Some(json!({ "steps": 600, "step_ms": 50 }));
    }
    if name == "process_large_file" {
        return Some(json!({ "filename": "large_dataset.csv", "processing_time": 100 }));
    }
    let words = ["long-running", "long_running", "longrunning", "slow", "sleep", "countdown"];
    let harmful = tool["annotations"]["destructiveHint"] == true;
    if harmful || !words.iter().any(|word| name.contains(word)) {
        return None;
    }
    // All that it must be given has to be numbers whose meaning we can guess.
    let schema = &tool["inputSchema"];
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let mut arguments = Map::new();
    for (property, kind) in &properties {
        let number = kind["type"] == "number" || kind["type"] == "integer";
        match guess(&property.to_lowercase()).filter(|_| number) {
            Some(value) => drop(arguments.insert(property.clone(), value.into())),
            None if required.iter().any(|name| name == property) => return None,
            None => {}
        }
    }
    // Without a duration in its arguments nobody knows what "slow" does.
    (!arguments.is_empty()).then(|| arguments.into())
}

fn guess(property: &str) -> Option<u32> {
    if property.ends_with("ms") || property.contains("milli") {
        return Some(10_000);
    }
    let seconds = ["duration", "seconds", "secs", "delay", "time"];
    if seconds.iter().any(|word| property.contains(word)) {
        return Some(10);
    }
    (property == "steps" || property == "count").then_some(20)
}

fn names(tools: &[Value]) -> String {
    let names: Vec<_> =
        tools.iter().filter_map(|tool| tool["name"].as_str()).map(crate::lane::plain).collect();
    if names.is_empty() { "no tools".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, properties: &Value, required: &Value) -> Value {
        json!({ "name": name,
            "inputSchema": { "properties": properties, "required": required } })
    }

    #[test]
    fn only_what_is_understood_is_called() {
        let number = json!({ "type": "number" });
        let known = tool(
            "trigger-long-running-operation",
            &json!({ "duration": number, "steps": number }),
            &json!([]),
        );
        assert_eq!(recognized(&known), Some(json!({ "duration": 10, "steps": 20 })));
        let ms = tool("sleep", &json!({ "timeout_ms": number }), &json!(["timeout_ms"]));
        assert_eq!(recognized(&ms), Some(json!({ "timeout_ms": 10_000 })));
        for unknown in [
            tool("delete_all", &json!({ "seconds": number }), &json!([])),
            tool("slow", &json!({}), &json!([])),
            tool("sleep", &json!({ "host": { "type": "string" } }), &json!(["host"])),
        ] {
            assert_eq!(recognized(&unknown), None, "{unknown}");
        }
    }
}

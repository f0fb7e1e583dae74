//! The server that a client calls: `basic-cancel serve`. It is asked what became of the call.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use super::group::Group;
use super::legacy::{self, Legacy};
use super::manifest;
use crate::tree;
use crate::wire::{Place, Revision, Wire};
use crate::work::structured;

const TICK: &str = "250ms";
const LONG: Duration = Duration::from_secs(90);
/// A checker is impatient, and a busy machine is slow.
const TRIES: usize = 10;

/// How a client reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Over {
    /// HTTP, 2025-11-25.
    Legacy,
    /// HTTP, 2026-07-28.
    Modern,
    /// Standard input and output, in the revision that the client chooses.
    Stdio,
}

impl Over {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Legacy => "2025-11-25",
            Self::Modern => "2026-07-28",
            Self::Stdio => "stdio",
        }
    }
}

/// What the server says of the call.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// `running`, `cancelled`, `finished`, `failed`; `gone` if its server has ended.
    pub state: String,
    pub steps: u64,
    pub reason: Option<String>,
}

#[derive(Debug)]
pub enum Asked {
    /// It has `list_calls`. The proxy hides from clients that it speaks 2026-07-28.
    Http { _server: Box<Group>, proxy: Option<Legacy>, url: String, asks: Arc<Wire>, over: Over },
    /// A script that starts it. What it says of its calls is in a file for each process.
    Stdio { folder: TempDir },
}

impl Asked {
    pub async fn start(over: Over) -> anyhow::Result<Self> {
        let program = manifest::built("basic-cancel").context("basic-cancel is not built")?;
        if over == Over::Stdio {
            let folder = TempDir::new()?;
            let [text, script] = ["text", "server"].map(|name| folder.path().join(name));
            let serve = format!("{} serve --transport stdio --tick {TICK} -v", program.display());
            let logged = format!("exec {serve} 2>{}/$$.log", folder.path().display());
            std::fs::write(&text, format!("#!/bin/sh\n{logged}\n"))?;
            // Another process writes the script: one that is started here meanwhile would inherit
            // the file, open for writing, and such a file cannot be started ("Text file busy").
            let mut install = Command::new("install");
            let installed = install.args(["-m", "755"]).args([&text, &script]).status().await?;
            ensure!(installed.success(), "cannot write {}", script.display());
            return Ok(Self::Stdio { folder });
        }
        let mut serve = Command::new(program);
        serve.args(["serve", "--addr", "127.0.0.1:0", "--tick", TICK]);
        let mut server = Group::start(serve)?;
        let url = |line: &str| {
            line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
        };
        let url = server.line(LONG, url).await?.context("the server does not start")?;
        let place = Place::Url(url.clone());
        let mut opened = Wire::open(&place, Revision::Stateless).await;
        for _ in 0..TRIES {
            if opened.is_err() {
                opened = Wire::open(&place, Revision::Stateless).await;
            }
        }
        let (asks, _) = opened?;
        let proxy = match over {
            Over::Legacy => Some(legacy::before(&url).await?),
            _ => None,
        };
        Ok(Self::Http { _server: Box::new(server), proxy, url, asks, over })
    }

    /// What a client is given: a URL, or a program.
    pub fn address(&self) -> String {
        match self {
            Self::Http { proxy: Some(proxy), .. } => proxy.url.clone(),
            Self::Http { url, .. } => url.clone(),
            Self::Stdio { folder } => folder.path().join("server").display().to_string(),
        }
    }

    /// The newest call of the tool.
    pub async fn call(&self) -> anyhow::Result<Option<Call>> {
        let (asks, over) = match self {
            Self::Http { asks, over, .. } => (asks, over),
            Self::Stdio { folder } => return call_in(folder.path()),
        };
        let list = json!({ "name": "list_calls", "arguments": {} });
        // Patiently: a busy machine is no verdict.
        let answer = asks.answer(&asks.request("tools/call", list), LONG).await?;
        let list = structured(&answer["result"], "calls").context("`list_calls` lists no calls")?;
        let calls = list["calls"].as_array().cloned().unwrap_or_default();
        let Some(call) = calls.iter().rfind(|call| call["tool"] == "process_large_file") else {
            return Ok(None);
        };
        let modern = call["session"].is_null();
        anyhow::ensure!(modern == (*over == Over::Modern), "it spoke the other revision");
        let text = |name: &str| call[name].as_str().map(str::to_owned);
        Ok(Some(Call {
            state: text("state").unwrap_or_default(),
            steps: call["steps_done"].as_u64().unwrap_or(0),
            reason: text("reason"),
        }))
    }
}

/// What the server on stdio has said of the call, line by line, on its standard error.
fn call_in(folder: &Path) -> anyhow::Result<Option<Call>> {
    for file in std::fs::read_dir(folder)?.flatten() {
        let text = std::fs::read_to_string(file.path()).unwrap_or_default();
        let said = text.lines().filter(|line| line.contains(" call ")).collect::<Vec<_>>();
        if !said.iter().any(|line| line.contains(": process_large_file starts")) {
            continue;
        }
        let mut call = Call { state: "running".to_owned(), ..Call::default() };
        for line in said {
            let number = |after: &str, before: &str| {
                line.split_once(after)?.1.split_once(before)?.0.parse().ok()
            };
            for state in ["cancelled", "finished", "failed"] {
                if line.contains(&format!(": process_large_file {state}")) {
                    state.clone_into(&mut call.state);
                    call.reason = line.split_once(", reason: ").map(|(_, it)| it.to_owned());
                }
            }
            let steps = number(" step ", " of ").or_else(|| number(" after ", " of "));
            call.steps = steps.or_else(|| number(" finished, ", " of ")).unwrap_or(call.steps);
        }
        let process = file.path().file_stem().and_then(|it| it.to_str()?.parse().ok());
        if call.state == "running" && !process.is_some_and(tree::alive) {
            "gone".clone_into(&mut call.state);
        }
        return Ok(Some(call));
    }
    Ok(None)
}

//! Who really stops? Clients, servers and bridges of other projects, each tried for real.
//!
//! `survey/manifest.json` names them. docs/src/who-stops.md has what was seen.

mod client;
mod group;
mod legacy;
mod manifest;

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::wire::Revision;
use client::Way;
use manifest::{Client, Manifest};

/// Entries that are tried at the same time.
const SIDE_BY_SIDE: usize = 2;
/// No run is longer.
const DEADLINE: Duration = Duration::from_secs(180);

/// What `survey` is told.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SurveyArgs {
    #[command(subcommand)]
    command: Option<Sub>,
    /// Only these entries
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Print what was seen as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Install what entries need, under target/survey; all of them if none is named.
    Install { names: Vec<String> },
}

pub async fn survey(args: SurveyArgs) -> anyhow::Result<ExitCode> {
    let manifest = Manifest::read()?;
    if let Some(Sub::Install { names }) = args.command {
        check_names(&manifest, &names)?;
        for environment in manifest.environments_of(&names) {
            eprintln!("📦 {environment}");
            manifest.install(environment).await?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    check_names(&manifest, &args.only)?;
    let wanted = |name: &String| args.only.is_empty() || args.only.contains(name);
    let clients = manifest.clients.iter().filter(|client| wanted(&client.name)).cloned();
    let (ready, missing): (Vec<_>, Vec<_>) =
        clients.partition(|client| manifest.interpreter(&client.environment).is_some());

    let rows = try_clients(&Arc::new(manifest), ready).await?;
    if args.json {
        let missing: Vec<_> = missing.iter().map(|client| &client.name).collect();
        println!("{}", json!({ "schema": 1, "clients": rows, "not_installed": missing }));
        return Ok(ExitCode::SUCCESS);
    }
    print!("{}", table(&rows));
    for client in &missing {
        println!("➖ {}: not installed; mcp-cancel-check survey install {0}", client.name);
    }
    Ok(ExitCode::SUCCESS)
}

fn check_names(manifest: &Manifest, names: &[String]) -> anyhow::Result<()> {
    let known: Vec<_> = manifest.clients.iter().map(|client| client.name.as_str()).collect();
    for name in names {
        if !known.contains(&name.as_str()) {
            bail!("there is no entry `{name}`; there are: {}", known.join(", "));
        }
    }
    Ok(())
}

/// Tries all clients, two at a time, each in all its ways at once.
async fn try_clients(manifest: &Arc<Manifest>, clients: Vec<Client>) -> anyhow::Result<Vec<Value>> {
    if !clients.is_empty() {
        // Built once, before many ask for it.
        basic_cancel()?;
    }
    let places = Arc::new(Semaphore::new(SIDE_BY_SIDE));
    let (mut running, all) = (JoinSet::new(), clients.len());
    for (number, client) in clients.into_iter().enumerate() {
        let (manifest, places) = (manifest.clone(), places.clone());
        running.spawn(async move {
            let _place = places.acquire_owned().await;
            (number, try_client(&manifest, &client).await)
        });
    }
    let mut rows = Vec::new();
    while let Some(ended) = running.join_next().await {
        rows.push(ended?);
        progress(&format!("{} of {all}", rows.len()));
    }
    progress("");
    rows.sort_by_key(|(number, _)| *number);
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

async fn try_client(manifest: &Arc<Manifest>, client: &Client) -> Value {
    let revisions: &[_] = if client.modern {
        &[Revision::Handshake, Revision::Stateless]
    } else {
        &[Revision::Handshake]
    };
    let ways: &[_] = if client.timeout { &[Way::Stop, Way::Timeout] } else { &[Way::Stop] };
    let mut running = JoinSet::new();
    for (revision, way) in revisions.iter().flat_map(|one| ways.iter().map(|way| (*one, *way))) {
        let (manifest, client) = (manifest.clone(), client.clone());
        running.spawn(async move {
            let run = timeout(DEADLINE, client::judge(&manifest, &client, revision, way));
            let seen = run.await.unwrap_or_else(|_| bail!("it takes longer than {DEADLINE:?}"));
            (revision.name(), way.name(), seen)
        });
    }
    let mut runs = running.join_all().await;
    runs.sort_by_key(|(revision, way, _)| (*revision, *way));
    let runs: Vec<_> = runs
        .into_iter()
        .map(|(revision, way, seen)| match seen {
            Ok(seen) => json!({ "revision": revision, "way": way, "verdict": seen.verdict,
                "steps": seen.steps, "told": seen.told, "reason": seen.reason }),
            Err(error) => json!({ "revision": revision, "way": way, "verdict": "not judged",
                "why": format!("{error:#}") }),
        })
        .collect();
    let version = manifest.version(&client.environment, &client.package).unwrap_or_default();
    json!({ "name": client.name, "package": client.package, "version": version, "runs": runs })
}

fn table(clients: &[Value]) -> String {
    let mut text = String::new();
    let say = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for client in clients {
        let _ = writeln!(text, "\n{} {}", say(&client["package"]), say(&client["version"]));
        for run in client["runs"].as_array().into_iter().flatten() {
            let verdict = say(&run["verdict"]);
            let mark = match verdict.as_str() {
                "stops" => "✅",
                "late" => "🐌",
                "runs on" => "❌",
                _ => "❔",
            };
            let how = format!("{} {}", say(&run["revision"]), say(&run["way"]));
            let rest = if run["steps"].is_null() {
                say(&run["why"])
            } else {
                let reason = run["reason"].as_str().map(|reason| format!(", reason {reason:?}"));
                let reason = reason.unwrap_or_default();
                format!("{} steps{reason}; the caller is told {}", run["steps"], say(&run["told"]))
            };
            let _ = writeln!(text, "{mark} {how:18} {verdict:8} {rest}");
        }
    }
    text
}

/// The server that clients call: beside this program, or built.
fn basic_cancel() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("basic-cancel");
    if !path.exists() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let built = std::process::Command::new("cargo")
            .args(["build", "--quiet", "--package", "basic-cancel"])
            .current_dir(root)
            .status();
        if !built.context("cargo cannot be started")?.success() || !path.exists() {
            bail!("{} is missing: cargo build -p basic-cancel", path.display());
        }
    }
    Ok(path)
}

/// One line that is written over, for people only.
fn progress(what: &str) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let _ = write!(stderr, "\r\x1b[K{what}");
        let _ = stderr.flush();
    }
}

//! Who really stops? Clients and servers of other projects, each tried for real.
//!
//! `survey/manifest.json` names them. docs/src/who-stops.md has what was seen.

mod asked;
mod client;
mod group;
mod legacy;
mod manifest;
mod page;
mod picture;
mod report;
mod server;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::status_line;
use asked::Over;
use client::Way;
use manifest::{Client, Manifest, Server};

/// Ways of clients that are tried at the same time.
const CLIENTS: usize = 6;
const INSTALLS: usize = 3;
/// Tools that are tried at the same time. Most of a run is waiting.
const SERVERS: usize = 3;
/// The version of the JSON.
const SCHEMA: u32 = 2;
/// No run is longer.
const DEADLINE: Duration = Duration::from_secs(500);

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
    /// Print what was seen as the tables of docs/src/who-stops.md
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Write what was seen into who-stops.md in this folder, beside it as JSON and as a picture
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["json", "markdown"])]
    page: Option<PathBuf>,
    /// Try nothing: show what an earlier run has printed with --json
    #[arg(long, value_name = "FILE", conflicts_with = "only")]
    from: Option<PathBuf>,
    /// A manifest of your own
    #[arg(long, value_name = "FILE", default_value = manifest::OWN, hide_default_value = true, global = true)]
    manifest: PathBuf,
    /// Where packages are installed; target/survey if you name none
    #[arg(long, value_name = "FOLDER", default_value = manifest::HOME, hide_default_value = true, global = true)]
    home: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Install what entries need; what all need if none is named.
    Install { names: Vec<String> },
}

pub async fn survey(args: SurveyArgs) -> anyhow::Result<ExitCode> {
    let manifest = Arc::new(Manifest::read(&args.manifest, &args.home)?);
    if let Some(Sub::Install { names }) = args.command {
        check_names(&manifest, &names)?;
        return install(manifest, &names).await;
    }
    let seen = if let Some(file) = args.from {
        let text = std::fs::read(&file);
        let text = text.with_context(|| format!("{} cannot be read", file.display()))?;
        let seen: Value = serde_json::from_slice(&text).unwrap_or_default();
        if seen["schema"] != SCHEMA {
            bail!("{} is no survey: what --json prints is", file.display());
        }
        seen
    } else {
        check_names(&manifest, &args.only)?;
        try_all(&manifest, &args.only).await?
    };
    if args.json {
        crate::print(&format!("{seen:#}\n"), false)?;
    } else if args.markdown {
        crate::print(&report::markdown(&seen), false)?;
    } else if let Some(folder) = args.page {
        report::write(&seen, &folder)?;
    } else {
        crate::print(&report::table(&seen), false)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Tries what is installed, and names the rest.
async fn try_all(manifest: &Arc<Manifest>, only: &[String]) -> anyhow::Result<Value> {
    // Our own entries need Cargo alone. Without it they are named like the others.
    let ours = ["basic-cancel", "rmcp_client", "rmcp_server"];
    if ours.into_iter().any(|name| manifest::built(name).is_none())
        && let Err(error) = manifest::build().await
    {
        crate::note(&format!("our own entries are not built: {error:#}"));
    }
    let mut missing = Vec::new();
    let mut ready = |name: &str, environment: Option<&str>, needs: &BTreeMap<_, _>| {
        let wanted = only.is_empty() || only.iter().any(|one| one == name);
        let lacks = manifest.missing(name, environment, needs);
        if let (true, Some(install)) = (wanted, &lacks) {
            missing.push(json!({ "name": name, "install": install }));
        }
        wanted && lacks.is_none()
    };
    let none = BTreeMap::new();
    let mut clients = manifest.clients.clone();
    clients.retain(|one| ready(&one.name, one.environment.as_deref(), &none));
    let mut servers = manifest.servers.clone();
    servers.retain(|one| ready(&one.name, one.environment.as_deref(), &one.needs));

    let ways: usize = clients.iter().map(|client| ways_of(client).count()).sum();
    let tools: usize = servers.iter().map(|server| server.tools.len()).sum();
    let progress = Arc::new(Progress { done: AtomicUsize::new(0), all: ways + tools });
    let (clients, servers) = tokio::join!(
        try_clients(manifest, &progress, clients),
        try_servers(manifest, &progress, servers)
    );
    status_line::clear();
    let date = humantime::format_rfc3339(SystemTime::now()).to_string();
    Ok(json!({ "schema": SCHEMA, "date": date[..10], "clients": clients?, "servers": servers?,
        "not_installed": missing, "left_out": manifest.left_out }))
}

/// Installs side by side: most of it is waiting for the network.
async fn install(manifest: Arc<Manifest>, names: &[String]) -> anyhow::Result<ExitCode> {
    let needed = manifest.environments_of(names);
    if needed.iter().any(|name| manifest.wants_node(name)) {
        manifest.install_node().await?;
    }
    let places = Arc::new(Semaphore::new(INSTALLS));
    let mut running = JoinSet::new();
    for name in needed {
        let (name, manifest, places) = (name.to_owned(), manifest.clone(), places.clone());
        running.spawn(async move {
            let _place = places.acquire_owned().await;
            crate::note(&format!("📦 {name}"));
            let installed = manifest.install(&name).await;
            (name, installed)
        });
    }
    let mut code = ExitCode::SUCCESS;
    while let Some(ended) = running.join_next().await {
        // One that fails keeps none of the others back.
        if let (name, Err(error)) = ended? {
            crate::note(&format!("❌ {name}: {error:#}"));
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

fn check_names(manifest: &Manifest, names: &[String]) -> anyhow::Result<()> {
    let known: Vec<_> = manifest.names().collect();
    for name in names {
        if !known.contains(&name.as_str()) {
            bail!("there is no entry `{name}`; there are: {}", known.join(", "));
        }
    }
    Ok(())
}

/// How a client is tried: over what, and how its call is left.
fn ways_of(client: &Client) -> impl Iterator<Item = (Over, Way)> + use<> {
    let modern = client.modern.then_some(Over::Modern);
    let lacks = client.lacks.clone();
    let http = [Over::Legacy].into_iter().chain(modern);
    let ways = http.flat_map(|over| Way::ALL.map(|way| (over, way)));
    ways.chain([(Over::Stdio, Way::Stop)])
        .filter(move |(over, way)| !lacks.iter().any(|one| one == over.name() || one == way.name()))
}

/// Tries all clients in all their ways.
async fn try_clients(
    manifest: &Arc<Manifest>,
    progress: &Arc<Progress>,
    clients: Vec<Client>,
) -> anyhow::Result<Vec<Value>> {
    let mut runs = Vec::new();
    for client in &clients {
        for (over, way) in ways_of(client) {
            let (manifest, client) = (manifest.clone(), client.clone());
            runs.push(async move {
                let run = async {
                    let program = format!("clients/{}", client.program);
                    let command = manifest.command(client.environment.as_deref(), &program)?;
                    client::judge(command, over, way).await
                };
                let mut row = json!({ "over": over.name(), "way": way.name() });
                match within_deadline(run).await {
                    Ok(seen) => {
                        row["verdict"] = seen.verdict.into();
                        row["steps"] = seen.steps.into();
                        row["told"] = seen.told.into();
                        row["reason"] = seen.reason.into();
                    }
                    Err(error) => not_judged(&mut row, &error),
                }
                row
            });
        }
    }
    let mut rows = side_by_side(CLIENTS, progress, runs).await?.into_iter();
    let clients = clients.into_iter().map(|client| {
        let environment = client.environment.as_deref();
        let mut title = manifest.title(environment, &client.package, client.sdk.as_deref())?;
        if let Some(note) = &client.note {
            title = format!("{title}, {note}");
        }
        let runs: Vec<_> = rows.by_ref().take(ways_of(&client).count()).collect();
        Ok(json!({ "name": client.name, "title": title, "program": client.program,
            "lacks": client.lacks, "runs": runs }))
    });
    clients.collect()
}

/// Tries all tools of all servers.
async fn try_servers(
    manifest: &Arc<Manifest>,
    progress: &Arc<Progress>,
    servers: Vec<Server>,
) -> anyhow::Result<Vec<Value>> {
    let mut runs = Vec::new();
    for server in servers {
        let environment = server.environment.as_deref();
        let title = manifest.title(environment, &server.package, server.sdk.as_deref())?;
        let command = manifest.server(&server)?;
        for call in server.tools {
            let job =
                server::Job { command: command.clone(), call, prepare: server.prepare.clone() };
            let mut row = json!({ "name": server.name, "title": title, "tool": job.call.tool,
                "does": job.call.does });
            runs.push(async move {
                match within_deadline(server::judge(&job)).await {
                    Ok(seen) => {
                        row["verdict"] = seen.verdict.into();
                        row["steps"] = seen.steps.into();
                        row["told"] = seen.told.into();
                        row["blocked"] = seen.blocked.into();
                        row["at_the_end"] = seen.end.verdict.into();
                        row["left"] = seen.end.left.into();
                        row["silenced"] = seen.silenced.into();
                    }
                    Err(error) => not_judged(&mut row, &error),
                }
                row
            });
        }
    }
    side_by_side(SERVERS, progress, runs).await
}

async fn within_deadline<T>(run: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    timeout(DEADLINE, run).await.with_context(|| format!("it takes longer than {DEADLINE:?}"))?
}

fn not_judged(row: &mut Value, error: &anyhow::Error) {
    row["verdict"] = "not judged".into();
    row["why"] = format!("{error:#}").into();
}

/// Runs so many at a time, and returns what they found in their order.
async fn side_by_side(
    places: usize,
    progress: &Arc<Progress>,
    runs: Vec<impl Future<Output = Value> + Send + 'static>,
) -> anyhow::Result<Vec<Value>> {
    let places = Arc::new(Semaphore::new(places));
    let mut running = JoinSet::new();
    for (number, run) in runs.into_iter().enumerate() {
        let (places, progress) = (places.clone(), progress.clone());
        running.spawn(async move {
            let _place = places.acquire_owned().await;
            let row = run.await;
            progress.one_more();
            (number, row)
        });
    }
    let mut rows = Vec::new();
    while let Some(ended) = running.join_next().await {
        rows.push(ended?);
    }
    rows.sort_by_key(|(number, _)| *number);
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// How many of all are done.
#[derive(Debug)]
struct Progress {
    done: AtomicUsize,
    all: usize,
}

impl Progress {
    fn one_more(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        status_line::show(&format!("{done} of {}", self.all));
    }
}

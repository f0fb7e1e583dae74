//! Who really stops? Clients, servers and bridges of other projects, each tried for real.
//!
//! `survey/manifest.json` names them. docs/src/who-stops.md has what was seen.

mod client;
mod group;
mod legacy;
mod manifest;
mod page;
mod report;
mod server;

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
use manifest::{Client, Manifest, Server};

/// Clients that are tried at the same time, each in all its ways.
const CLIENTS: usize = 2;
const INSTALLS: usize = 3;
/// Tools that are tried at the same time. Most of a run is waiting.
const SERVERS: usize = 4;
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
    /// Print what was seen as the tables of docs/src/who-stops.md
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// A manifest of your own
    #[arg(long, value_name = "FILE", default_value = manifest::OWN, hide_default_value = true, global = true)]
    manifest: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Install what entries need, under target/survey; all of them if none is named.
    Install { names: Vec<String> },
}

pub async fn survey(args: SurveyArgs) -> anyhow::Result<ExitCode> {
    let manifest = Manifest::read(&args.manifest)?;
    if let Some(Sub::Install { names }) = args.command {
        check_names(&manifest, &names)?;
        return install(Arc::new(manifest), &names).await;
    }
    check_names(&manifest, &args.only)?;
    let wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|one| one == name);
    let mut missing = Vec::new();
    let mut ready = |name: &str, environment: Option<&str>, needs: &[PathBuf]| {
        let ready = manifest.installed(environment) && needs.iter().all(|program| program.exists());
        if wanted(name) && !ready {
            missing.push(name.to_owned());
        }
        wanted(name) && ready
    };
    let mut clients = manifest.clients.clone();
    clients.retain(|one| ready(&one.name, one.environment.as_deref(), &[]));
    let mut servers = manifest.servers.clone();
    servers.retain(|one| ready(&one.name, one.environment.as_deref(), &one.needs));

    let manifest = Arc::new(manifest);
    let clients = try_clients(&manifest, clients).await?;
    let servers = try_servers(&manifest, servers).await?;
    if args.json {
        let seen = json!({ "schema": 1, "clients": clients, "servers": servers,
            "not_installed": missing, "left_out": manifest.left_out });
        println!("{seen}");
    } else if args.markdown {
        print!("{}\n{}", report::markdown(&clients), report::markdown_of_servers(&servers));
    } else {
        print!("{}{}", report::table(&clients), report::table_of_servers(&servers));
        println!("\n{}", report::not_tried(&missing, &manifest.left_out));
    }
    Ok(ExitCode::SUCCESS)
}

/// Installs side by side: most of it is waiting for the network.
async fn install(manifest: Arc<Manifest>, names: &[String]) -> anyhow::Result<ExitCode> {
    let needed = manifest.environments_of(names);
    if needed.iter().any(|name| manifest.wants_node(name)) {
        manifest::install_node().await?;
    }
    let places = Arc::new(Semaphore::new(INSTALLS));
    let mut running = JoinSet::new();
    for name in needed {
        let (name, manifest, places) = (name.to_owned(), manifest.clone(), places.clone());
        running.spawn(async move {
            let _place = places.acquire_owned().await;
            eprintln!("📦 {name}");
            manifest.install(&name).await
        });
    }
    while let Some(installed) = running.join_next().await {
        installed??;
    }
    Ok(ExitCode::SUCCESS)
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

/// Tries all clients, two at a time, each in all its ways at once.
async fn try_clients(manifest: &Arc<Manifest>, clients: Vec<Client>) -> anyhow::Result<Vec<Value>> {
    if !clients.is_empty() {
        // Built once, before many ask for it.
        basic_cancel()?;
    }
    let runs = clients.into_iter().map(|client| {
        let manifest = manifest.clone();
        async move { try_client(&manifest, &client).await }
    });
    side_by_side(CLIENTS, runs).await
}

/// Tries all servers, a few at a time.
async fn try_servers(manifest: &Arc<Manifest>, servers: Vec<Server>) -> anyhow::Result<Vec<Value>> {
    let mut runs = Vec::new();
    for server in servers {
        let environment = server.environment.as_deref();
        let title = manifest.title(environment, &server.package, server.sdk.as_deref())?;
        let command = manifest.server(&server)?;
        for call in server.tools {
            let job = server::Job {
                command: command.clone(),
                tool: call.tool,
                arguments: Value::Object(call.arguments),
                witness: call.witness,
                prepare: server.prepare.clone(),
            };
            let (name, title, does) = (server.name.clone(), title.clone(), call.does);
            runs.push(async move {
                let seen = timeout(DEADLINE, server::judge(&job)).await;
                let seen = seen.unwrap_or_else(|_| bail!("it takes longer than {DEADLINE:?}"));
                let (tool, does) = (job.tool, does);
                match seen {
                    Ok(seen) => json!({ "name": name, "title": title, "tool": tool, "does": does,
                        "verdict": seen.verdict, "steps": seen.steps, "told": seen.told,
                        "blocked": seen.blocked, "at_the_end": seen.at_the_end }),
                    Err(error) => json!({ "name": name, "title": title, "tool": tool,
                        "does": does, "verdict": "not judged", "why": format!("{error:#}") }),
                }
            });
        }
    }
    side_by_side(SERVERS, runs.into_iter()).await
}

/// Runs so many at a time, and returns what they found in their order.
async fn side_by_side(
    places: usize,
    runs: impl Iterator<Item = impl Future<Output = Value> + Send + 'static>,
) -> anyhow::Result<Vec<Value>> {
    let places = Arc::new(Semaphore::new(places));
    let mut running = JoinSet::new();
    for (number, run) in runs.enumerate() {
        let places = places.clone();
        running.spawn(async move {
            let _place = places.acquire_owned().await;
            (number, run.await)
        });
    }
    let (mut rows, all) = (Vec::new(), running.len());
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
            let run = async {
                let program = format!("clients/{}", client.program);
                let command = manifest.command(client.environment.as_deref(), &program)?;
                client::judge(command, revision, way).await
            };
            let seen = timeout(DEADLINE, run).await;
            let seen = seen.unwrap_or_else(|_| bail!("it takes longer than {DEADLINE:?}"));
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
    let environment = client.environment.as_deref();
    let title = manifest.title(environment, &client.package, client.sdk.as_deref());
    json!({ "name": client.name, "title": title.unwrap_or_default(),
        "program": client.program, "runs": runs })
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

//! What the survey knows: `survey/manifest.json`, and where its packages are installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::process::Command;

/// Newer than what most distributions have: some packages need it.
const NODE: &str = "node@22.23.3";

/// The survey's own folder, with the programs.
pub const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/survey");

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub environments: BTreeMap<String, Environment>,
    pub clients: Vec<Client>,
}

/// Packages that are installed together: a venv, or an npm folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    #[serde(default)]
    pub pip: Vec<String>,
    #[serde(default)]
    pub npm: Vec<String>,
}

/// A program that calls a tool and stops it in its framework's way.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    pub name: String,
    /// The package that is judged. Its version is the environment's.
    pub package: String,
    pub environment: String,
    /// A file in `survey/clients`.
    pub program: String,
    /// It speaks 2026-07-28 too, and chooses it by itself.
    #[serde(default)]
    pub modern: bool,
    /// It has a timeout of its own, and the program sets it.
    #[serde(default = "yes")]
    pub timeout: bool,
}

const fn yes() -> bool {
    true
}

impl Manifest {
    pub fn read() -> anyhow::Result<Self> {
        let path = Path::new(FOLDER).join("manifest.json");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let manifest: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is no manifest", path.display()))?;
        for client in &manifest.clients {
            manifest.version(&client.environment, &client.package)?;
        }
        Ok(manifest)
    }

    /// The environments that these entries need; all of them if none is named.
    pub fn environments_of(&self, names: &[String]) -> Vec<&str> {
        let needs = self.clients.iter().filter(|one| names.contains(&one.name));
        let mut needed: Vec<_> = needs.map(|one| one.environment.as_str()).collect();
        if names.is_empty() {
            needed = self.environments.keys().map(String::as_str).collect();
        }
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    fn environment(&self, name: &str) -> anyhow::Result<&Environment> {
        self.environments.get(name).with_context(|| format!("there is no environment `{name}`"))
    }

    /// The version of this package that the environment pins.
    pub fn version(&self, environment: &str, package: &str) -> anyhow::Result<&str> {
        let Environment { pip, npm } = self.environment(environment)?;
        let python = pip.iter().filter_map(|pin| pin.split_once("=="));
        let python =
            python.map(|(name, version)| (name.split('[').next().unwrap_or(name), version));
        let mut pins = python.chain(npm.iter().filter_map(|pin| pin.rsplit_once('@')));
        let pin = pins.find(|(name, _)| *name == package);
        Ok(pin.with_context(|| format!("`{environment}` pins no `{package}`"))?.1)
    }

    /// What runs this program, if it is installed.
    pub fn interpreter(&self, environment: &str) -> Option<PathBuf> {
        let folder = home().join(environment);
        // Written last: a half install is none.
        let complete = std::fs::read_to_string(folder.join("installed")).ok()?;
        let now = self.environments.get(environment)?;
        (complete == now.pins()).then(|| {
            if now.npm.is_empty() {
                folder.join("bin/python")
            } else {
                home().join("node/node_modules/.bin/node")
            }
        })
    }

    /// Installs an environment under `target/survey`, anew if its pins have changed.
    pub async fn install(&self, name: &str) -> anyhow::Result<()> {
        if self.interpreter(name).is_some() {
            return Ok(());
        }
        let (environment, folder) = (self.environment(name)?, home().join(name));
        std::fs::create_dir_all(&folder)?;
        if environment.npm.is_empty() {
            run(Command::new("python3").args(["-m", "venv"]).arg(&folder)).await?;
            let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
            let mut pip = Command::new(folder.join("bin/python"));
            run(pip.args(quiet).args(&environment.pip)).await?;
        } else {
            // Node itself comes with a script. Nobody else's runs.
            run(npm(&home().join("node")).arg(NODE)).await?;
            run(npm(&folder).arg("--ignore-scripts").args(&environment.npm)).await?;
        }
        Ok(std::fs::write(folder.join("installed"), environment.pins())?)
    }
}

impl Environment {
    fn pins(&self) -> String {
        [&self.pip[..], &self.npm].concat().join("\n")
    }
}

/// `target/survey`, which git ignores.
pub fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/survey")
}

fn npm(folder: &Path) -> Command {
    let mut npm = Command::new("npm");
    npm.arg("install").arg("--prefix").arg(folder);
    npm.args(["--no-save", "--no-audit", "--no-fund", "--loglevel", "error"]);
    npm
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = format!("{:?}", command.as_std());
    let status = command.status().await.with_context(|| format!("{shown} cannot be started"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

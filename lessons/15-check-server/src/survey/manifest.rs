//! What the survey knows: `survey/manifest.json`, and where its packages are installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::process::Command;

/// Newer than what most distributions have: some packages need it.
const NODE: &str = "node@22.23.3";

/// The survey's own manifest, beside its programs.
pub const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/survey/manifest.json");

/// Where packages are installed. git ignores it.
pub const HOME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/survey");

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    #[serde(default)]
    pub environments: BTreeMap<String, Environment>,
    #[serde(default)]
    pub clients: Vec<Client>,
    #[serde(default)]
    pub servers: Vec<Server>,
    /// What is not tried, and why.
    #[serde(default)]
    pub left_out: BTreeMap<String, String>,
    /// Where the file and the programs are.
    #[serde(skip)]
    folder: PathBuf,
    /// Where packages are installed.
    #[serde(skip)]
    home: PathBuf,
}

/// Packages that are installed together: a venv, an npm folder, or this workspace.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    #[serde(default)]
    pub pip: Vec<String>,
    #[serde(default)]
    pub npm: Vec<String>,
    /// What Cargo.lock names. Programs are examples of this crate, or those of a crate of its own.
    #[serde(default)]
    pub cargo: Vec<String>,
    /// The folder of that crate, beside the manifest.
    pub folder: Option<PathBuf>,
}

/// A program that calls a tool and stops it in its framework's way.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    pub name: String,
    /// The package that is judged. Its version is the one that the environment pins.
    pub package: String,
    /// The MCP SDK below, if the environment pins that too.
    pub sdk: Option<String>,
    /// What tells it from another entry of this package.
    pub note: Option<String>,
    /// Without one, a program runs with the `python3` of this machine.
    pub environment: Option<String>,
    /// A file in the folder `clients`, or the name of an example.
    pub program: String,
    /// It speaks 2026-07-28 too, and chooses it by itself.
    #[serde(default)]
    pub modern: bool,
    /// What it does not have: a `timeout` of its own, a way to `close` it, `stdio`.
    #[serde(default)]
    pub lacks: Vec<String>,
}

/// A server on stdio, and the slow tool of it that is cancelled.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub name: String,
    pub package: String,
    pub sdk: Option<String>,
    pub environment: Option<String>,
    /// A minimal server of ours: a file in the folder `servers`, or the name of an example.
    pub program: Option<String>,
    /// A released one: its command, beginning with a program of the environment.
    #[serde(default)]
    pub run: Vec<String>,
    /// Its environment: `NAME=VALUE`.
    #[serde(default)]
    pub variables: Vec<String>,
    pub tools: Vec<ToolCall>,
    /// A shell command that is run before, in the folder of the run.
    pub prepare: Option<String>,
    /// Programs of this machine that it needs, each with its Debian package.
    #[serde(default)]
    pub needs: BTreeMap<PathBuf, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    pub tool: String,
    /// What it does, in the table.
    pub does: String,
    #[serde(default)]
    pub arguments: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    pub witness: Witness,
    /// So many calls are cancelled, and then a `ping` is sent, in a run of its own.
    pub times: Option<usize>,
}

/// Where the work can be seen from outside, step by step.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Witness {
    /// It appends lines to the file that `$STEPS` names.
    #[default]
    Steps,
    /// It reads our slow page, which counts its lines.
    Page,
    /// It reports progress.
    Progress,
    /// Its processes are at work.
    Busy,
    /// This shell command prints a number, and it is not 0.
    Ask(String),
}

impl Manifest {
    pub fn read(path: &Path, home: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let mut manifest: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is no manifest", path.display()))?;
        path.parent().unwrap_or(Path::new(".")).clone_into(&mut manifest.folder);
        home.clone_into(&mut manifest.home);
        for client in &manifest.clients {
            manifest.title(
                client.environment.as_deref(),
                &client.package,
                client.sdk.as_deref(),
            )?;
        }
        for server in &manifest.servers {
            manifest.title(
                server.environment.as_deref(),
                &server.package,
                server.sdk.as_deref(),
            )?;
        }
        Ok(manifest)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        let servers = self.servers.iter().map(|server| server.name.as_str());
        self.clients.iter().map(|client| client.name.as_str()).chain(servers)
    }

    /// What is judged, with its version, and what it stands on.
    pub fn title(
        &self,
        environment: Option<&str>,
        package: &str,
        sdk: Option<&str>,
    ) -> anyhow::Result<String> {
        let Some(name) = environment else { return Ok(package.to_owned()) };
        let environment = self.environment(name)?;
        let version = |package: &str| {
            let pin = environment.pins().find_map(|pin| {
                let pin = pin.replace("==", "@");
                let (name, version) = pin.rsplit_once('@')?;
                (name.split('[').next() == Some(package)).then(|| version.to_owned())
            });
            pin.with_context(|| format!("`{name}` pins no `{package}`"))
        };
        let title = format!("{package} {}", version(package)?);
        Ok(match sdk {
            Some(sdk) => format!("{title} on {sdk} {}", version(sdk)?),
            None => title,
        })
    }

    /// The environments that these entries need; all of them if none is named.
    pub fn environments_of(&self, names: &[String]) -> Vec<&str> {
        let clients = self.clients.iter().map(|one| (&one.name, &one.environment));
        let servers = self.servers.iter().map(|one| (&one.name, &one.environment));
        let needs = clients.chain(servers).filter(|(name, _)| names.contains(name));
        let mut needed: Vec<_> = needs.filter_map(|(_, needed)| needed.as_deref()).collect();
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

    pub fn installed(&self, environment: Option<&str>) -> bool {
        let Some(name) = environment else { return true };
        let Some(environment) = self.environments.get(name) else { return false };
        if environment.is_ours() {
            return built("rmcp_client").is_some() && built("rmcp_server").is_some();
        }
        // Written last: a half install is none.
        let complete = std::fs::read_to_string(self.home.join(name).join("installed"));
        complete.is_ok_and(|pins| pins == environment.text())
    }

    /// What must be done before this entry can be tried; None if nothing.
    pub fn missing(
        &self,
        name: &str,
        environment: Option<&str>,
        needs: &BTreeMap<PathBuf, String>,
    ) -> Option<String> {
        let mut packages: Vec<_> = needs
            .iter()
            .filter(|(path, _)| !path.exists())
            .map(|(_, package)| &**package)
            .collect();
        packages.dedup();
        let mut commands = Vec::new();
        if !packages.is_empty() {
            commands.push(format!("apt-get install {}", packages.join(" ")));
        }
        if !self.installed(environment) {
            commands.push(format!("mcp-cancel-check survey install {name}"));
        }
        (!commands.is_empty()).then(|| commands.join(" && "))
    }

    /// A program of the manifest's folder, run with what is installed for it.
    pub fn command(&self, environment: Option<&str>, program: &str) -> anyhow::Result<Command> {
        let file = self.folder.join(program);
        let Some(name) = environment else {
            let mut command = Command::new("python3");
            command.arg(file);
            return Ok(command);
        };
        let (environment, folder) = (self.environment(name)?, self.home.join(name));
        if !environment.cargo.is_empty() {
            let name = program.rsplit('/').next().unwrap_or_default();
            let path = if environment.is_ours() {
                built(name).with_context(|| format!("{name} is not built"))?
            } else {
                folder.join(name)
            };
            return Ok(Command::new(path));
        }
        if environment.npm.is_empty() {
            let mut command = Command::new(folder.join("bin/python"));
            command.arg(file);
            return Ok(command);
        }
        // A module looks for packages in the folders above its own.
        let beside = file.parent().context("a program is a file")?;
        for file in std::fs::read_dir(beside)?.flatten() {
            // Another run may read it just now: it is replaced in one piece.
            let part = folder.join(uuid::Uuid::new_v4().to_string());
            std::fs::copy(file.path(), &part)?;
            std::fs::rename(part, folder.join(file.file_name()))?;
        }
        let mut command = Command::new(self.node());
        command.arg(folder.join(file.file_name().context("a program is a file")?));
        Ok(command)
    }

    /// The command of a server, for `env`.
    pub fn server(&self, server: &Server) -> anyhow::Result<Vec<String>> {
        if let Some(program) = &server.program {
            let command =
                self.command(server.environment.as_deref(), &format!("servers/{program}"))?;
            let command = command.as_std();
            let words = std::iter::once(command.get_program()).chain(command.get_args());
            let words = words.map(|word| word.to_string_lossy().into_owned());
            return Ok(server.variables.iter().cloned().chain(words).collect());
        }
        let folder = self.home.join(server.environment.as_deref().unwrap_or_default());
        let (program, arguments) = server.run.split_first().context("no program and no `run`")?;
        let path = folder.join(program);
        let mut words = vec![path.to_string_lossy().into_owned()];
        if path.starts_with(folder.join("node_modules")) {
            words.insert(0, self.node().display().to_string());
        }
        words.extend_from_slice(arguments);
        Ok([&server.variables[..], &words].concat())
    }

    fn node(&self) -> PathBuf {
        self.home.join("node/node_modules/.bin/node")
    }

    /// It needs Node, and is not installed yet.
    pub fn wants_node(&self, name: &str) -> bool {
        let npm = self.environments.get(name).is_some_and(|one| !one.npm.is_empty());
        npm && !self.installed(Some(name))
    }

    /// Node itself comes with a script.
    pub async fn install_node(&self) -> anyhow::Result<()> {
        run(npm(&self.home.join("node")).arg(NODE)).await
    }

    /// Installs an environment, anew if its pins have changed.
    pub async fn install(&self, name: &str) -> anyhow::Result<()> {
        let (environment, folder) = (self.environment(name)?, self.home.join(name));
        if environment.is_ours() {
            // Cargo knows what is new.
            return build().await;
        }
        if self.installed(Some(name)) {
            return Ok(());
        }
        std::fs::create_dir_all(&folder)?;
        if !environment.pip.is_empty() {
            run(Command::new("python3").args(["-m", "venv"]).arg(&folder)).await?;
            let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
            let mut pip = Command::new(folder.join("bin/python"));
            run(pip.args(quiet).args(&environment.pip)).await?;
        }
        if !environment.npm.is_empty() {
            // No package runs a script of its own.
            let few = ["--ignore-scripts", "--omit=optional"];
            run(npm(&folder).args(few).args(&environment.npm)).await?;
        }
        if let Some(own) = &environment.folder {
            let mut cargo = Command::new("cargo");
            cargo.args(["build", "--quiet", "--locked", "--manifest-path"]);
            cargo.arg(self.folder.join(own).join("Cargo.toml"));
            let target = folder.join("target");
            run(cargo.arg("--target-dir").arg(&target).env("CARGO_INCREMENTAL", "0")).await?;
            // The program is small, and what it was built from is not.
            for file in std::fs::read_dir(target.join("debug"))?.flatten() {
                if file.path().is_file() {
                    std::fs::rename(file.path(), folder.join(file.file_name()))?;
                }
            }
            std::fs::remove_dir_all(target)?;
        }
        Ok(std::fs::write(folder.join("installed"), environment.text())?)
    }
}

impl Environment {
    fn pins(&self) -> impl Iterator<Item = &str> {
        self.pip.iter().chain(&self.npm).chain(&self.cargo).map(String::as_str)
    }

    /// Its programs are examples of this crate.
    fn is_ours(&self) -> bool {
        !self.cargo.is_empty() && self.folder.is_none()
    }

    fn text(&self) -> String {
        self.pins().collect::<Vec<_>>().join("\n")
    }
}

/// A program of this workspace, beside this one or among the examples, if it is built.
pub fn built(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let places = [own.with_file_name(name), own.with_file_name("examples").join(name)];
    places.into_iter().find(|path| path.exists())
}

/// Builds what the survey needs of this workspace, in the profile of this program.
pub async fn build() -> anyhow::Result<()> {
    let own = std::env::current_exe()?;
    let release = own.parent().is_some_and(|folder| folder.ends_with("release"));
    let what = ["-p", "basic-cancel", "-p", "check-server", "--bin", "basic-cancel"];
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet"]).args(release.then_some("--release")).args(what);
    cargo.args(["--example", "rmcp_client", "--example", "rmcp_server"]);
    run(cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))).await
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

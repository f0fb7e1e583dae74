//! A real proxy before two replicas, with a configuration file of the folder `proxies`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use course::port::Port;
use shared::client::{PATIENCE, Patience};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::process::{Process, installed};
use super::replicas::Replica;

/// A configuration to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The program that reads it.
    pub program: &'static str,
    /// The name of the file.
    pub file: &'static str,
    text: &'static str,
}

macro_rules! configs {
    ($($(#[$about:meta])* $name:ident = $program:literal $file:literal;)+) => {
        $($(#[$about])* pub const $name: Config = Config {
            program: $program,
            file: $file,
            text: include_str!(concat!("../../proxies/", $file)),
        };)+
    };
}

configs! {
    /// Round robin, all else by default.
    NGINX = "nginx" "nginx.conf";
    /// Reads on when the client has gone.
    NGINX_IGNORE_ABORT = "nginx" "nginx-ignore-abort.conf";
    /// The replica is found by a hash of the session's id.
    NGINX_HASH = "nginx" "nginx-hash.conf";
    /// Round robin, all else by default.
    HAPROXY = "haproxy" "haproxy.cfg";
    /// Notices that a client has gone.
    HAPROXY_ABORTONCLOSE = "haproxy" "haproxy-abortonclose.cfg";
    /// The replica is found by a hash of the session's id.
    HAPROXY_HASH = "haproxy" "haproxy-hash.cfg";
    /// Remembers which replica has opened which session.
    HAPROXY_STICK = "haproxy" "haproxy-stick.cfg";
}

/// The ports in the configuration files: the proxy's own, and those of two replicas.
const LISTEN: &str = "127.0.0.1:8000";
const REPLICAS: [&str; 2] = ["127.0.0.1:8001", "127.0.0.1:8002"];

impl Config {
    /// Whether its program is installed.
    pub fn is_installed(self) -> bool {
        self.path().is_some()
    }

    fn path(self) -> Option<PathBuf> {
        // For a look at the lesson without proxies, on a machine that has them.
        let wanted = std::env::var_os("SCALE_OUT_NO_PROXIES").is_none();
        wanted.then(|| installed(&[self.program])).flatten()
    }
}

/// A proxy that runs.
pub struct Proxy {
    /// Its MCP endpoint.
    pub url: String,
    process: Process,
    _folder: TempDir,
}

impl Proxy {
    /// Starts one before two replicas.
    pub async fn start(config: Config, replicas: &[Replica]) -> Result<Self> {
        let program = config.path().with_context(|| format!("{} is missing", config.program))?;
        // A proxy cannot be told to take a free port. If another program takes this one first,
        // there is a next time.
        for _ in 0..5 {
            let port = Port::keep()?;
            let free = port.address().to_string();
            let mut text = config.text.replace(LISTEN, &free);
            for (name, replica) in REPLICAS.iter().zip(replicas) {
                let address = replica.url.trim_start_matches("http://").trim_end_matches("/mcp");
                text = text.replace(name, address);
            }
            let folder = tempfile::tempdir()?;
            let file = folder.path().join(config.file);
            std::fs::write(&file, text)?;
            let (file, home) = (file.to_string_lossy(), folder.path().to_string_lossy());
            let process = match config.program {
                "nginx" => {
                    let arguments = ["-p", &home, "-e", "stderr", "-c", &file, "-g", "daemon off;"];
                    Process::start(&program, &arguments, "TERM")?
                }
                _ => Process::start(&program, &["-db", "-q", "-f", &file], "TERM")?,
            };
            let mut patience = Patience::of(PATIENCE / 2);
            while patience.lasts().await {
                if TcpStream::connect(&free).await.is_ok() {
                    return Ok(Self {
                        url: format!("http://{free}/mcp"),
                        process,
                        _folder: folder,
                    });
                }
            }
            eprintln!("{} does not listen: {}", config.file, process.end().await?);
        }
        bail!("{} does not start", config.file)
    }

    /// Ends it.
    pub async fn end(self) -> Result<()> {
        self.process.end().await?;
        Ok(())
    }
}

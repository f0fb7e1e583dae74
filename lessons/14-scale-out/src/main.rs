//! `cargo run -p scale-out`, `cargo run -p scale-out -- CHAPTER`, `cargo run -p scale-out -- serve`

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{ArgMatches, Args, Command, FromArgMatches, Parser};
use course::signals::Signals;
use scale_out::chapters::ALL;
use scale_out::flaw::Flaw;
use scale_out::memory::MemoryStore;
use scale_out::redis::RedisStore;
use scale_out::replica::{self, Manner};
use scale_out::stage::Options;
use scale_out::store::Store;
use scale_out::{LESSON, story};
use shared::stop::Stop;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

/// Several replicas: the cancel finds the one that runs the call.
#[derive(Debug, Parser)]
#[command(name = "scale-out", version, after_help = "Without a command: all chapters.")]
struct Cli {
    /// The URL of a Redis or Valkey that runs already [default: one of its own; `serve`: memory, which
    /// no other replica shares]
    #[arg(long, global = true)]
    redis: Option<String>,
    /// Make the replicas wrong on purpose, to see the lesson notice
    #[arg(long, global = true, value_enum)]
    wrong: Option<Flaw>,
}

/// One replica, until Ctrl-C.
#[derive(Debug, Args)]
struct Serve {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8001")]
    addr: SocketAddr,
    /// What its keys in the engine begin with: the same for all replicas
    #[arg(long, default_value = "scale-out")]
    prefix: String,
    /// The length of one step of work, in milliseconds
    #[arg(long, default_value_t = 1000)]
    tick_ms: u64,
    /// How long a task is its owner's without a beat, in milliseconds
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(100..))]
    lease_ms: u64,
    /// End when standard input does
    #[arg(long)]
    until_eof: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let chapters = ALL.iter().map(|chapter| Command::new(chapter.name).about(chapter.title));
    let serve = Serve::augment_args(Command::new("serve")).about("One replica, until Ctrl-C");
    let command = <Cli as clap::CommandFactory>::command().subcommands(chapters).subcommand(serve);
    let matches = command.get_matches();
    match run(&matches).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("❌ {} failed: {error:#}", LESSON.name);
            ExitCode::FAILURE
        }
    }
}

async fn run(matches: &ArgMatches) -> Result<()> {
    let Cli { redis, wrong } = Cli::from_arg_matches(matches)?;
    if let Some(("serve", own)) = matches.subcommand() {
        return one_replica(Serve::from_arg_matches(own)?, redis, wrong).await;
    }
    let mut pressed = Signals::new()?;
    println!("🚀 {}: {}", LESSON.name, LESSON.title);
    let options = Options { redis, wrong, ..Options::default() };
    tokio::select! {
        played = play(matches.subcommand_name(), &options) => played?,
        () = pressed.recv() => bail!("it was interrupted"),
    }
    let skipped = options.skipped.into_inner().unwrap_or_default();
    println!();
    for claim in &skipped {
        println!("⏭  not looked at: {claim}");
    }
    let claims = if skipped.is_empty() { "every claim held" } else { "every other claim held" };
    match wrong {
        None => println!("✅ {}: {claims}", LESSON.name),
        Some(_) => println!("🤷 {}: {claims}, so this flaw is not noticed here", LESSON.name),
    }
    Ok(())
}

async fn play(chapter: Option<&str>, options: &Options) -> Result<()> {
    let Some(name) = chapter else { return story(options).await };
    let chapter = ALL.iter().find(|chapter| chapter.name == name);
    (chapter.context("there is no such chapter")?.play)(options).await
}

async fn one_replica(serve: Serve, redis: Option<String>, flaw: Option<Flaw>) -> Result<()> {
    // Before anything is printed: a reader of the URL may stop it at once.
    let signals = Signals::new()?;
    let Serve { addr, prefix, tick_ms, lease_ms, until_eof } = serve;
    let store: Arc<dyn Store> = match redis {
        Some(url) => Arc::new(RedisStore::open(&url, &prefix).await?),
        None => Arc::new(MemoryStore::default()),
    };
    let listener = TcpListener::bind(addr).await.with_context(|| {
        format!("cannot listen on {addr}; --addr 127.0.0.1:0 takes a free port")
    })?;
    println!("📡 a replica serves MCP at http://{}/mcp", listener.local_addr()?);
    let (tick, lease) = (Duration::from_millis(tick_ms), Duration::from_millis(lease_ms));
    let stop = Stop::default();
    signals.stop(stop.clone());
    if until_eof {
        let stop = stop.clone();
        tokio::spawn(async move {
            let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
            stop.now();
        });
    }
    replica::serve(listener, store, Manner { tick, lease, flaw }, stop).await
}

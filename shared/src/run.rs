//! What the command line sets going: a story, a server, or the tour.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::calls::Calls;
use crate::cli::{self, Options, Task, said};
use crate::dataset::DataFolder;
use crate::hosting::{Door, Site};
use crate::lesson::{About, Chapter, DEFAULT_TICK, Lesson, Server, Transport};
use crate::narrate;
use crate::server::Setup;

/// The last lesson of the tour.
const TOUR_ENDS: u32 = 4;
/// How long a server that has ended may take to print what it has to say.
const LAST_NEWS: Duration = Duration::from_millis(100);

/// The whole of a lesson's `main`: reads the command line and does what it says. Given
/// several lessons it plays the first ones, one after the other.
pub fn main(lessons: &[About]) -> ExitCode {
    let (options, task) = cli::read(lessons);
    log_to_stderr(options.verbose);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("❌ cannot start the async runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(run(task, &options, lessons));
    // Not a plain drop: that would wait for a read of standard input that may never end.
    runtime.shutdown_timeout(Duration::from_millis(200));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("❌ {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Quiet unless asked: rmcp prints every notification with its payload at INFO, and an
/// ERROR for each client of 2026-07-28 that cancels by closing its stream.
fn log_to_stderr(verbose: u8) {
    use tracing_subscriber::filter::LevelFilter;
    let level = match verbose {
        0 => LevelFilter::OFF,
        1 => LevelFilter::INFO,
        _ => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level).init();
}

async fn run(task: Task<'_>, options: &Options, lessons: &[About]) -> anyhow::Result<()> {
    match task {
        Task::Tour => tour(lessons, options).await,
        Task::Play { about, chapter, url } => play(about, chapter, options, url).await,
        Task::Serve { about, addr, data } => serve(about, options, addr, data).await,
    }
}

async fn tour(lessons: &[About], options: &Options) -> anyhow::Result<()> {
    let tick = options.tick.or(Some(Duration::from_millis(100)));
    let options = Options { tick, ..options.clone() };
    let mut summary = Vec::new();
    let mut failed = 0;
    for lesson in lessons.iter().filter(|lesson| lesson.number <= TOUR_ENDS) {
        let started = Instant::now();
        let outcome = play(lesson, None, &options, None).await;
        let took = started.elapsed().as_secs_f64();
        println!();
        summary.push(match outcome {
            Ok(()) => format!("✅ {:18} {:5.1} s  {}", lesson.name, took, lesson.title),
            Err(error) => {
                failed += 1;
                format!("❌ {:18} {:5.1} s  {error:#}", lesson.name, took)
            }
        });
    }
    println!("🎉 The tour:");
    for line in summary {
        println!("   {line}");
    }
    ensure!(failed == 0, "{failed} of {TOUR_ENDS} lessons failed");
    println!("   Next: read lessons/01-basic-cancel/README.md, then its src/lib.rs.");
    Ok(())
}

/// Plays a lesson or a chapter of it, against the server at `url` or, without one, against its own.
async fn play(
    about: &About,
    chapter: Option<&Chapter>,
    options: &Options,
    url: Option<String>,
) -> anyhow::Result<()> {
    let Options { transport, wrong, .. } = *options;
    let protocol = options.protocol.unwrap_or(about.protocols[0]);
    println!("🚀 {}: {}", about.name, about.title);
    println!("   {}, revision {}", said(&transport), said(&protocol));
    let shutdown = CancellationToken::new();
    let (server, hosted) = match (url, transport) {
        (Some(url), _) => (Server::Url(url), None),
        (None, Transport::Http) => {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let url = format!("http://{}/mcp", listener.local_addr()?);
            let site = Site { door: Door::Http(listener), wrong, shutdown: shutdown.clone() };
            let hosting = (about.host)(setup(options, None)?, site);
            (Server::Url(url), Some(tokio::spawn(hosting)))
        }
        (None, Transport::Stdio) => (Server::Child, None),
    };
    let lesson = Lesson {
        transport,
        protocol,
        tick: options.tick.unwrap_or(DEFAULT_TICK),
        wrong,
        options: passed_on(about, options),
        server,
    };
    let story = chapter.map_or(about.story, |chapter| chapter.story);
    // A chapter may have a use of its own for Ctrl-C.
    let may_stop = hosted.is_some() && chapter.is_none();
    let played = tokio::select! {
        played = story(&lesson) => played.with_context(|| format!("{} failed", about.name)),
        () = stop_signal(), if may_stop => Err(anyhow!("{} was interrupted", about.name)),
    };
    // Whatever came of the story, its server stops, and gives back what it holds.
    shutdown.cancel();
    if let Some(hosted) = hosted {
        hosted.await??;
    }
    played?;
    match wrong {
        None => println!("✅ {}: every claim held", about.name),
        Some(wrong) => {
            let (name, wrong) = (about.name, said(&wrong));
            println!(
                "🤷 {name}: every claim held, so this lesson does not notice --wrong {wrong} here"
            );
        }
    }
    Ok(())
}

/// The options of this run that another process of this program is to have too.
fn passed_on(about: &About, options: &Options) -> Vec<OsString> {
    let transport = said(&options.transport);
    let given = ["--lesson", about.name, "--transport", &transport];
    let mut arguments = given.map(OsString::from).to_vec();
    if let Some(protocol) = options.protocol {
        arguments.extend(["--protocol".into(), said(&protocol).into()]);
    }
    if let Some(tick) = options.tick {
        arguments.extend(["--tick".into(), humantime::format_duration(tick).to_string().into()]);
    }
    if let Some(wrong) = options.wrong {
        arguments.extend(["--wrong".into(), said(&wrong).into()]);
    }
    if options.verbose > 0 {
        arguments.push(format!("-{}", "v".repeat(options.verbose.into())).into());
    }
    arguments
}

async fn serve(
    about: &About,
    options: &Options,
    addr: SocketAddr,
    data: Option<PathBuf>,
) -> anyhow::Result<()> {
    let setup = setup(options, data)?;
    let shutdown = CancellationToken::new();
    let (door, news) = match options.transport {
        Transport::Stdio => {
            // Standard output belongs to the protocol.
            let watch = narrate::watch(setup.calls.watch(), |line| eprintln!("{line}"));
            (Door::Stdio, (options.verbose > 0).then(|| tokio::spawn(watch)))
        }
        Transport::Http => {
            let listener = TcpListener::bind(addr).await.with_context(|| {
                format!("cannot listen on {addr}; --addr 127.0.0.1:0 takes a free port")
            })?;
            let addr = listener.local_addr()?;
            println!("📡 {} serves MCP at http://{addr}/mcp", about.name);
            println!("   revisions 2025-11-25 and 2026-07-28; Ctrl-C stops it");
            tokio::spawn(narrate::watch(setup.calls.watch(), |line| println!("{line}")));
            (Door::Http(listener), None)
        }
    };
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            stop_signal().await;
            shutdown.cancel();
        }
    });
    let site = Site { door, wrong: options.wrong, shutdown };
    (about.host)(setup, site).await?;
    if options.transport == Transport::Http {
        println!("👋 stopped");
    }
    if let Some(news) = news {
        // The list of calls went with the server: the news end with the last line of it.
        let _ = timeout(LAST_NEWS, news).await;
    }
    Ok(())
}

fn setup(options: &Options, data: Option<PathBuf>) -> anyhow::Result<Setup> {
    let data = match data {
        Some(folder) => DataFolder::open(&folder)
            .with_context(|| format!("cannot serve files from {}", folder.display()))?,
        None => DataFolder::sample().context("cannot write the sample files")?,
    };
    let tick = options.tick.unwrap_or(DEFAULT_TICK);
    Ok(Setup { data, calls: Calls::default(), tick })
}

/// Ctrl-C, or what a process manager sends.
async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

//! What the command line sets going: a story, a server, or several stories in a row.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::panic;
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hosting::{Door, Site};
use shared::calls::Calls;
use shared::dataset::DataFolder;
use shared::server::Setup;
use shared::stop::Stop;
use tokio::net::TcpListener;
use tokio::time::timeout;
use wrong::Wrong;

use crate::cli::{self, Options, Task};
use crate::lesson::{Chapter, Lesson, Transport};
use crate::log;
use crate::narrate;
use crate::progress;
use crate::signals::Signals;
use crate::stage::{DEFAULT_TICK, Place, Stage};

/// How long a server that has ended may take to print its last lines.
const LAST_NEWS: Duration = Duration::from_millis(100);

/// The whole of a lesson's `main`: reads the command line and does what it says. Given
/// several lessons it plays them one after the other.
pub fn main(lessons: &[Lesson]) -> ExitCode {
    end_with_the_reader();
    let (options, task) = cli::read(lessons);
    log::to_stderr(options.verbose, options.log);
    // These two need no runtime: an answer is played on one of its own.
    match &task {
        Task::Exercise { lesson, exercise, what } => {
            return progress::exercise(lesson, exercise, what);
        }
        Task::Progress => return progress::all(),
        Task::Tour | Task::Play { .. } | Task::Serve { .. } => {}
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("❌ cannot start the async runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        // Before anything is printed: a reader who sees "Ctrl-C stops it" may press at once.
        let mut pressed = Signals::new()?;
        match task {
            Task::Tour => tour(lessons, &options, &mut pressed).await,
            Task::Play { lesson, chapter, url } => {
                play(lesson, chapter, &options, url, &mut pressed).await
            }
            Task::Serve { lesson, addr, data, grace } => {
                serve(lesson, &options, addr, data, grace, pressed).await
            }
            Task::Exercise { .. } | Task::Progress => Ok(()),
        }
    });
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

/// For a server, which serves on when nobody reads its news any more: `serve | head`.
fn print_if_read(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// `cargo run | head` closes the pipe. `println!` panics then; this ends quietly instead.
fn end_with_the_reader() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let why = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if why.starts_with("failed printing to stdout") && why.contains("Broken pipe") {
            process::exit(0);
        }
        usual(panic);
    }));
}

/// This lesson was, by Ctrl-C.
#[derive(Debug)]
struct Interrupted(&'static str);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was interrupted", self.0)
    }
}

impl Error for Interrupted {}

async fn tour(lessons: &[Lesson], options: &Options, pressed: &mut Signals) -> anyhow::Result<()> {
    let tick = options.tick.or(Some(Duration::from_millis(100)));
    let options = Options { tick, ..options.clone() };
    let mut summary = Vec::new();
    let mut failed = 0;
    for lesson in lessons {
        let started = Instant::now();
        let outcome = play(lesson, None, &options, None, pressed).await;
        let took = started.elapsed().as_secs_f64();
        println!();
        summary.push(match outcome {
            Ok(()) => format!("✅ {:18} {took:5.1} s  {}", lesson.name, lesson.title),
            // Whoever presses Ctrl-C means the tour.
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => {
                failed += 1;
                format!("❌ {:18} {took:5.1} s  {error:#}", lesson.name)
            }
        });
    }
    println!("🎉 The tour:");
    for line in summary {
        println!("   {line}");
    }
    ensure!(failed == 0, "{failed} of {} lessons failed", lessons.len());
    println!("   Next: read lessons/01-basic-cancel/README.md, then its src/lib.rs.");
    Ok(())
}

/// Plays a lesson or a chapter of it, against the server at `url` or, without one, against its
/// own.
async fn play(
    lesson: &Lesson,
    chapter: Option<&Chapter>,
    options: &Options,
    url: Option<String>,
    pressed: &mut Signals,
) -> anyhow::Result<()> {
    let Options { transport, wrong, .. } = *options;
    let protocol = options.protocol.unwrap_or(lesson.protocols[0]);
    println!("🚀 {}: {}", lesson.name, lesson.title);
    println!("   {transport}, revision {protocol}");
    // A server that is wrong on purpose may never stop: its learner does not wait for it.
    let stop = wrong.map_or_else(Stop::default, |_| Stop::with_grace(Duration::from_millis(100)));
    let foreign = url.is_some();
    let (place, hosted) = match (url, transport) {
        (Some(url), _) => (Place::Url(url), None),
        (None, Transport::Http) => {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let url = format!("http://{}/mcp", listener.local_addr()?);
            let setup = setup(options, None, &stop)?;
            let hosting = host(lesson, options, setup, Door::Http(listener));
            (Place::Url(url), Some(tokio::spawn(hosting)))
        }
        (None, Transport::Stdio) => (Place::Child, None),
    };
    let tick = options.tick.unwrap_or(DEFAULT_TICK);
    let stage = Stage {
        transport,
        protocol,
        tick,
        wrong,
        patience: Stage::patience_with(wrong, tick),
        foreign,
        options: passed_on(lesson, options),
        place,
    };
    let story = chapter.map_or(lesson.story, |chapter| chapter.story);
    // A chapter that waits for a person has a use of its own for Ctrl-C.
    let may_stop = chapter.is_none_or(|chapter| chapter.in_story);
    let mut story = story(&stage);
    let played = tokio::select! {
        played = &mut story => played.with_context(|| format!("{} failed", lesson.name)),
        () = pressed.recv(), if may_stop => {
            if foreign {
                // Like most clients: gone, without a word to the server. README and lesson 8 show
                // what each revision makes of that. A goodbye would delete the session, and that
                // stops its calls. So the story is not dropped before the exit: its client would
                // say goodbye.
                eprintln!("❌ {}", Interrupted(lesson.name));
                std::process::exit(130);
            }
            Err(Interrupted(lesson.name).into())
        }
    };
    drop(story);
    // Whatever came of the story, its server stops, and gives back what it holds.
    stop.now();
    if let Some(hosted) = hosted {
        hosted.await??;
    }
    played?;
    match wrong {
        None => println!("✅ {}: every claim held", lesson.name),
        Some(wrong) => println!(
            "🤷 {}: every claim held, so this lesson does not notice --wrong {} here",
            lesson.name,
            cli::typed(&wrong)
        ),
    }
    Ok(())
}

/// The options of this run that another process of this program is to have too.
fn passed_on(lesson: &Lesson, options: &Options) -> Vec<OsString> {
    let transport = options.transport.to_string();
    let given = ["--lesson", lesson.name, "--transport", &transport];
    let mut arguments = given.map(OsString::from).to_vec();
    if let Some(protocol) = options.protocol {
        arguments.extend(["--protocol".into(), protocol.to_string().into()]);
    }
    if let Some(tick) = options.tick {
        arguments.extend(["--tick".into(), humantime::format_duration(tick).to_string().into()]);
    }
    if let Some(wrong) = options.wrong {
        arguments.extend(["--wrong".into(), cli::typed(&wrong).into()]);
    }
    arguments.extend(["--log".into(), cli::typed(&options.log).into()]);
    if options.verbose > 0 {
        arguments.push(format!("-{}", "v".repeat(options.verbose.into())).into());
    }
    arguments
}

async fn serve(
    lesson: &Lesson,
    options: &Options,
    addr: SocketAddr,
    data: Option<PathBuf>,
    grace: Duration,
    mut pressed: Signals,
) -> anyhow::Result<()> {
    let patient = options.wrong == Some(Wrong::Patient);
    let grace = if patient { Duration::from_secs(3600) } else { grace };
    let stop = Stop::with_grace(grace);
    let setup = setup(options, data, &stop)?;
    let (door, news) = match options.transport {
        Transport::Stdio => {
            // Standard output belongs to the protocol.
            let watch = narrate::watch(setup.calls.watch(), |line| eprintln!("{line}"));
            let wanted = options.verbose > 0 && options.log == log::Format::Text;
            (Door::Stdio, wanted.then(|| tokio::spawn(watch)))
        }
        Transport::Http => {
            let listener = TcpListener::bind(addr).await.with_context(|| {
                format!("cannot listen on {addr}; --addr 127.0.0.1:0 takes a free port")
            })?;
            let addr = listener.local_addr()?;
            // Clients must use a local host name, whatever the server listens on.
            let shown = match addr.ip() {
                any if any.is_unspecified() => format!("localhost:{}", addr.port()),
                _ => addr.to_string(),
            };
            println!("📡 {} serves MCP at http://{shown}/mcp", lesson.name);
            println!("   its calls, live, each with a stop button: http://{shown}/");
            println!("   revisions 2025-11-25 and 2026-07-28; Ctrl-C stops it");
            tokio::spawn(narrate::watch(setup.calls.watch(), print_if_read));
            (Door::Http(listener), None)
        }
    };
    match options.wrong {
        // Wrong on purpose: hears the first signal alone.
        Some(Wrong::Patient) => drop(tokio::spawn(async move {
            pressed.recv().await;
            stop.now();
        })),
        _ => pressed.stop(stop),
    }
    host(lesson, options, setup, door).await?;
    // Wrong on purpose: an end in order that looks like a crash.
    ensure!(options.wrong != Some(Wrong::Alarming), "was told to stop");
    if options.transport == Transport::Http {
        println!("👋 stopped");
    }
    if let Some(news) = news {
        // The list of calls went with the server: the news end with the last line of it.
        let _ = timeout(LAST_NEWS, news).await;
    }
    Ok(())
}

/// Hosts the lesson's server, healthy or wrong on purpose.
fn host(
    lesson: &Lesson,
    options: &Options,
    setup: Setup,
    door: Door,
) -> impl Future<Output = anyhow::Result<()>> + Send + use<> {
    let stop = setup.stop.clone();
    let client = format!("cargo run -p {} -- client", lesson.name);
    let page = page::routes(lesson.name, &client, setup.calls.clone(), stop.clone());
    let beside = page.merge(page::local_only(metrics::routes(setup.calls.clone())));
    let (server, wrong) = ((lesson.server)(setup), options.wrong);
    async move {
        let server = server?;
        let (server, between) = Wrong::apply(wrong, server);
        hosting::host(server, Site { between, beside, ..Site::new(door, stop) }).await
    }
}

fn setup(options: &Options, data: Option<PathBuf>, stop: &Stop) -> anyhow::Result<Setup> {
    let data = match data {
        Some(folder) => DataFolder::open(&folder)
            .with_context(|| format!("cannot serve files from {}", folder.display()))?,
        None => DataFolder::sample().context("cannot write the sample files")?,
    };
    let tick = options.tick.unwrap_or(DEFAULT_TICK);
    Ok(Setup { data, calls: Calls::default(), tick, stop: stop.clone() })
}

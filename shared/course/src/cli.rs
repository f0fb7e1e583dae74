//! The command line, the same for every lesson.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use clap::error::ErrorKind;
use clap::{
    ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
};

use wrong::Wrong;

use crate::exercise::Exercise;
use crate::lesson::{Chapter, Lesson, Protocol, Transport};
use crate::log;

/// The longest step: half of what a lesson waits for news.
const MAX_TICK: Duration = Duration::from_secs(5);

/// What the command line asks for.
pub(crate) enum Task<'a> {
    /// The first lessons, one after the other.
    Tour,
    /// A lesson or a chapter of it, against the server at `url` or against its own.
    Play { lesson: &'a Lesson, chapter: Option<&'a Chapter>, url: Option<String> },
    /// A lesson's server.
    Serve { lesson: &'a Lesson, addr: SocketAddr, data: Option<PathBuf>, grace: Duration },
    /// An exercise.
    Exercise { lesson: &'a Lesson, exercise: &'a Exercise, what: ExerciseArgs },
    /// How far all exercises are.
    Progress,
}

/// Reads the command line of a program that has these lessons. Ends the program, with a
/// sentence, if it cannot be understood.
pub(crate) fn read(lessons: &[Lesson]) -> (Options, Task<'_>) {
    let (name, title) = match lessons {
        [lesson] => (lesson.name, lesson.title),
        _ => ("tour", "Plays the first lessons one after the other"),
    };
    let chapters = lessons.iter().flat_map(|lesson| lesson.chapters).map(|chapter| {
        let hidden = lessons.len() > 1 || chapter.title.is_empty();
        let command = Command::new(chapter.name).about(chapter.title).hide(hidden);
        ChapterArgs::augment_args(command)
    });
    let mut command = Cli::command().name(name).about(title).subcommands(chapters);
    let matches = command.get_matches_mut();
    task(&matches, lessons).unwrap_or_else(|error| error.format(&mut command).exit())
}

fn task<'a>(
    matches: &ArgMatches,
    lessons: &'a [Lesson],
) -> Result<(Options, Task<'a>), clap::Error> {
    let options = Options::from_arg_matches(matches)?;
    let wanted = options.lesson.as_deref();
    let Some(lesson) = lessons.iter().find(|lesson| wanted.is_none_or(|name| lesson.name == name))
    else {
        return Err(clap::Error::raw(ErrorKind::InvalidValue, "there is no such lesson"));
    };
    let (transport, protocol) = (options.transport, options.protocol);
    // Every server speaks every transport. It is the story that may need one of them.
    let serves = matches.subcommand_name() == Some("serve");
    let no_transport = !serves && !lesson.transports.contains(&transport);
    let no_transport = no_transport.then(|| (transport.to_string(), in_words(lesson.transports)));
    let no_protocol = protocol.filter(|it| !lesson.protocols.contains(it));
    let no_protocol = no_protocol.map(|it| (it.to_string(), in_words(lesson.protocols)));
    if let Some((missing, those)) = no_transport.or(no_protocol) {
        let why = format!("{} does not run on {missing}, only on {those}", lesson.name);
        return Err(clap::Error::raw(ErrorKind::InvalidValue, why));
    }
    let called = matches.subcommand().and_then(|(name, own)| {
        Some((lesson.chapters.iter().find(|chapter| chapter.name == name)?, own))
    });
    if let Some((chapter, own)) = called {
        let ChapterArgs { url } = ChapterArgs::from_arg_matches(own)?;
        if url.is_some() {
            // One without a title is a process that another chapter starts, with its own options.
            if chapter.title.is_empty() { options.check_url() } else { options.check_client() }?;
        }
        return Ok((options, Task::Play { lesson, chapter: Some(chapter), url }));
    }
    let cli = Cli::from_arg_matches(matches)?;
    if let Some(url) = cli.url {
        let chapters = lesson.chapters.iter().filter(|chapter| !chapter.title.is_empty());
        let mut parts = vec!["client"];
        parts.extend(chapters.map(|chapter| chapter.name));
        let parts = parts.join(", ");
        let why = format!("say first what to play against {url}: {parts}; as in `client --url ..`");
        return Err(clap::Error::raw(ErrorKind::ArgumentConflict, why));
    }
    let task = match cli.command {
        None if wanted.is_none() && lessons.len() > 1 => Task::Tour,
        None => Task::Play { lesson, chapter: None, url: None },
        Some(Mode::Serve { addr, data, grace }) => Task::Serve { lesson, addr, data, grace },
        Some(Mode::Exercise(what)) => {
            let Some(exercise) = lesson.exercise else {
                let why = format!("{} has no exercise; lessons 1 to 10 have one", lesson.name);
                return Err(clap::Error::raw(ErrorKind::InvalidValue, why));
            };
            Task::Exercise { lesson, exercise, what }
        }
        Some(Mode::Progress) => Task::Progress,
        Some(Mode::Client { url }) => {
            options.check_client()?;
            Task::Play { lesson, chapter: None, url: Some(url) }
        }
    };
    Ok((options, task))
}

#[derive(Debug, Parser)]
#[command(version, after_help = "Without a command: server and client in one go.")]
struct Cli {
    #[command(subcommand)]
    command: Option<Mode>,
    /// Only to say where it belongs
    #[arg(long, hide = true)]
    url: Option<String>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Args)]
struct ChapterArgs {
    /// The MCP endpoint of a server that runs already [default: a server of its own]
    #[arg(long, value_parser = endpoint)]
    url: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// How client and server are connected
    #[arg(long, global = true, value_enum, default_value = "http")]
    pub(crate) transport: Transport,
    /// The protocol revision that the client speaks (a server speaks both) [default:
    /// 2025-11-25, or the lesson's only one]
    #[arg(long, global = true, value_enum)]
    pub(crate) protocol: Option<Protocol>,
    /// Length of one step of the server's work, for example 50ms [default: 1s; the tour: 100ms]
    #[arg(long, global = true, value_parser = tick)]
    pub(crate) tick: Option<Duration>,
    /// Make the server wrong on purpose, to see the lesson notice
    #[arg(long, global = true, value_enum)]
    pub(crate) wrong: Option<Wrong>,
    /// Log to standard error: -v what happens, -vv every message
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// How the log is written: for people, or as JSON lines for programs
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub(crate) log: log::Format,
    /// Only this lesson, where the program has several
    #[arg(long, global = true, hide = true)]
    pub(crate) lesson: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Only the server, until Ctrl-C
    Serve {
        /// The address to listen on (HTTP); port 0 takes a free one
        #[arg(long, default_value = "127.0.0.1:8000", value_parser = address)]
        addr: SocketAddr,
        /// A folder of CSV files to serve instead of the generated sample
        #[arg(long)]
        data: Option<PathBuf>,
        /// How long running calls have to clean up when the server stops
        #[arg(long, default_value = "1500ms", value_parser = humantime::parse_duration)]
        grace: Duration,
    },
    /// Only the client, against a server that runs already (HTTP)
    Client {
        /// The server's MCP endpoint
        #[arg(long, default_value = "http://localhost:8000/mcp", value_parser = endpoint)]
        url: String,
    },
    /// Check what you have written in the lesson's src/exercise.rs
    Exercise(ExerciseArgs),
    /// Show how far you are with the exercises of all lessons
    Progress,
}

#[derive(Debug, Args)]
pub(crate) struct ExerciseArgs {
    /// Show a solution instead
    #[arg(long)]
    pub(crate) solution: bool,
    /// Begin again: put the stub back. What you have written is kept until `cargo clean`, in
    /// target/PROFILE/exercises
    #[arg(long, conflicts_with = "solution")]
    pub(crate) reset: bool,
}

impl Options {
    /// Refuses a URL where there can be none.
    fn check_url(&self) -> Result<(), clap::Error> {
        if self.transport == Transport::Stdio {
            let why = "a stdio server is started by its client: leave out `client` and --url";
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, why));
        }
        Ok(())
    }

    /// Refuses what only a server can be told, where the server runs already.
    fn check_client(&self) -> Result<(), clap::Error> {
        self.check_url()?;
        if self.tick.is_some() || self.wrong.is_some() {
            let why = "--tick and --wrong are for the server: give them to `serve`";
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, why));
        }
        Ok(())
    }
}

fn in_words<T: ToString>(all: &[T]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write it as in 127.0.0.1:8000".to_owned())
}

fn endpoint(text: &str) -> Result<String, String> {
    let uri = text.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("http"));
    uri.map(|_| text.to_owned()).ok_or("write it as in http://localhost:8000/mcp".to_owned())
}

fn tick(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(tick) if tick <= MAX_TICK => Ok(tick),
        Ok(_) => Err(format!("a step may last {} at most", humantime::format_duration(MAX_TICK))),
        Err(error) => Err(format!("{error}; write it with a unit, as in 50ms or 1s")),
    }
}

/// A value as one types it.
pub(crate) fn typed(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

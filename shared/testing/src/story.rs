//! Plays a lesson, and looks at how it ends: as a program of its own, or in this process.

use std::time::Duration;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use course::lesson::{Lesson, Protocol};
use course::stage::Stage;
use predicates::str::contains;
use wrong::Wrong;

use crate::hosted::setup;

pub const HTTP_2025: &str = "--transport http --protocol 2025-11-25";
pub const HTTP_2026: &str = "--transport http --protocol 2026-07-28";
pub const STDIO_2025: &str = "--transport stdio --protocol 2025-11-25";
pub const STDIO_2026: &str = "--transport stdio --protocol 2026-07-28";
pub const EVERYWHERE: [&str; 4] = [HTTP_2025, HTTP_2026, STDIO_2025, STDIO_2026];

/// A lesson's program.
pub struct Program(pub &'static str);

impl Program {
    /// Runs it with these options, separated by spaces.
    pub fn play(&self, options: &str) -> Assert {
        let options = options.split_whitespace();
        Command::new(self.0).args(options).timeout(Duration::from_secs(240)).assert()
    }

    /// The story holds.
    pub fn passes(&self, options: &str) {
        self.play(options).success().stdout(contains("every claim held\n"));
    }

    /// The story fails, by that sentence.
    pub fn fails(&self, way: &str, options: &str, sentence: &str) {
        self.play(&format!("{way} {options}")).code(1).stderr(contains(sentence));
    }
}

/// The lesson's program passes on each of these ways: real sockets, real child processes. Those
/// whose whole output the README shows are left to `readme_shows_real_output!`.
/// `passes_on!("basic-cancel", "--tick 100ms", http_2026 stdio_2025 stdio_2026);`
#[macro_export]
macro_rules! passes_on {
    ($program:literal, $options:literal, $($way:ident)+) => {
        mod passes_on {
            $(
                #[test]
                fn $way() {
                    let program = $crate::story::Program(env!(concat!("CARGO_BIN_EXE_", $program)));
                    let way = $crate::story::way(stringify!($way));
                    program.passes(&format!("{way} {}", $options));
                }
            )+
        }
    };
}

/// The options of a way, by the name that `passes_on!` gives it.
pub fn way(name: &str) -> &'static str {
    match name {
        "http_2025" => HTTP_2025,
        "http_2026" => HTTP_2026,
        "stdio_2025" => STDIO_2025,
        "stdio_2026" => STDIO_2026,
        other => {
            panic!("{other} is no way; there are http_2025, http_2026, stdio_2025, stdio_2026")
        }
    }
}

/// The story ends with that sentence against a server with this flaw, in each revision that the
/// lesson has. Client and server share this thread, and the clock is paused: when all wait, it
/// jumps. So the ending depends neither on the machine nor on what else it does.
pub fn notices(lesson: &Lesson, wrong: Wrong, tick_ms: u64, sentence: &str) {
    for protocol in lesson.protocols {
        let ending = ending(lesson, *protocol, Some(wrong), tick_ms);
        assert!(ending.contains(sentence), "{protocol}: not {sentence:?}, but: {ending}");
    }
}

/// How the story ends in this process: its complaint, or nothing.
pub fn ending(lesson: &Lesson, protocol: Protocol, wrong: Option<Wrong>, tick_ms: u64) -> String {
    paused(async {
        let setup = setup(tick_ms);
        let stop = setup.stop.clone();
        let stage = Stage::in_process(lesson.server, setup, protocol, wrong).unwrap();
        let played = (lesson.story)(&stage).await;
        stop.now();
        played.err().map(|error| format!("{error:#}")).unwrap_or_default()
    })
}

/// Runs this on a runtime of one thread whose clock is paused.
pub fn paused<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().start_paused(true).build().unwrap().block_on(future)
}

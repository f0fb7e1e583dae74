//! Servers that are wrong on purpose.
//!
//! A lesson that cannot fail proves nothing. Each flaw here is one that real servers
//! have shipped, and for each claim of a lesson there is a flaw that makes the lesson
//! end with that claim's own sentence: `cargo run -p basic-cancel -- --wrong deaf`.
//!
//! `tools` holds what a tool does wrong, `connection` what goes wrong on the wire.

mod connection;
mod tools;

use clap::ValueEnum;
use hosting::between::Between;
use hosting::layer::Server;

/// What is wrong with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Wrong {
    /// Never looks whether it is cancelled: the work runs to its end.
    Deaf,
    /// Looks 1.2 s late whether it is cancelled.
    Slow,
    /// Looks half a second late: with a short tick, some steps more are done.
    Sluggish,
    /// Stops, but cannot say why.
    Forgetful,
    /// Stops, and goes on sending progress for the cancelled call.
    Chatty,
    /// Answers a cancelled call with a result all the same.
    Insistent,
    /// Answers a cancel that comes too late.
    Touchy,
    /// Answers every call twice.
    Twice,
    /// Stops, and answers no further call.
    Stuck,
    /// Stops the call it was told to stop, and the others too.
    Clumsy,
    /// Answers a call with the result of another.
    Muddled,
    /// Takes the id "2" in a cancel for the id 2.
    Lax,
    /// Stops some call that is open, or a task, whatever the cancel names.
    Jumpy,
    /// Takes a lost connection for a cancel, on HTTP 2025-11-25 too.
    Hasty,
    /// Notices late that its client is gone (stdio).
    Lingering,
    /// Takes the Language Server Protocol's `$/cancelRequest` for a cancel.
    Lsp,
    /// Ends without a word to its callers when it is told to stop (SIGTERM).
    Abrupt,
    /// Ends in order when it is told to stop, with an exit code that says it failed.
    Alarming,
    /// Waits for deaf calls for an hour when it is told to stop, and ignores the second signal.
    Patient,
}

impl Wrong {
    /// The server and its connections, with this flaw or with none.
    pub fn apply(wrong: Option<Self>, server: Server) -> (Server, Between) {
        match wrong {
            None => (server, Between::default()),
            Some(wrong) => (wrong.tools(server), wrong.connections()),
        }
    }

    /// Makes the server's tools wrong.
    pub fn tools(self, server: Server) -> Server {
        server.with(tools::Flawed::new(self))
    }

    /// Makes the server's connections wrong.
    pub fn connections(self) -> Between {
        let between = Between::default().connections(move || connection::Flawed::new(self));
        match self {
            Self::Hasty => between.around_routes(connection::hang_up_cancels),
            _ => between,
        }
    }
}

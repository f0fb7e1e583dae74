//! What is known of a call's cancellation and of its end.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rmcp::schemars;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How many characters of a client's text the list keeps: a reason, or a request id.
pub const MAX_TEXT: usize = 200;

/// How a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The tool is at work.
    Running,
    /// The tool did all its steps.
    Finished,
    /// The tool noticed the cancellation and stopped.
    Cancelled,
    /// The tool gave up with an error, panicked, or was dropped.
    Failed,
}

/// Why a call was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The client said so: `notifications/cancelled`, or `tasks/cancel` for a task.
    Notification,
    /// The client is gone: its response stream (HTTP 2026-07-28) or standard input was closed,
    /// or its session was deleted.
    Disconnect,
    /// A limit of the server's own: a session fell silent, or a task worked for too long.
    Timeout,
    /// The server is shutting down.
    Shutdown,
    /// A person stopped this call at the server.
    Operator,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Notification, Self::Disconnect, Self::Timeout, Self::Shutdown, Self::Operator];

    /// Its name, as `list_calls` says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Notification => "notification",
            Self::Disconnect => "disconnect",
            Self::Timeout => "timeout",
            Self::Shutdown => "shutdown",
            Self::Operator => "operator",
        }
    }
}

/// What is known of a call's cancellation and of its end. It travels with the request.
///
/// rmcp tells a handler *that* it is cancelled (`ctx.ct`) and tells the server, in another task
/// and in no fixed order, *why* (`on_cancelled`). The crate `hosting` reads the notification before
/// rmcp does and leaves the cause and the reason here, so that they are known when `ct` fires.
#[derive(Debug, Clone, Default)]
pub struct CallNote(Arc<Note>);

#[derive(Debug, Default)]
struct Note {
    cause: OnceLock<Cause>,
    reason: OnceLock<String>,
    cancelled_at: OnceLock<Instant>,
    end: OnceLock<State>,
    /// Stops the work.
    token: Mutex<CancellationToken>,
}

impl CallNote {
    /// Keeps the first cause, and says whether this is the first.
    pub fn set_cause(&self, cause: Cause) -> bool {
        self.0.cause.set(cause).is_ok()
    }

    /// Why the call was told to stop, if it was.
    pub fn cause(&self) -> Option<Cause> {
        self.0.cause.get().copied()
    }

    /// Keeps the first reason given, without control characters, and not all of a long one.
    pub fn set_reason(&self, reason: &str) {
        let _ = self.0.reason.set(printable(reason));
    }

    /// The reason, if one was given.
    pub fn reason(&self) -> Option<&str> {
        self.0.reason.get().map(String::as_str)
    }

    /// The call is cancelled now.
    pub fn set_cancelled(&self) {
        let _ = self.0.cancelled_at.set(Instant::now());
    }

    /// When the call was cancelled, if it was.
    pub fn cancelled_at(&self) -> Option<Instant> {
        self.0.cancelled_at.get().copied()
    }

    /// This token stops the work from now on. A task has one of its own, which outlives the
    /// request's.
    pub fn set_token(&self, token: CancellationToken) {
        let mut held = self.0.token.lock().unwrap_or_else(PoisonError::into_inner);
        // A stop between the two tokens must not be lost.
        if self.cause() == Some(Cause::Operator) {
            token.cancel();
        }
        *held = token;
    }

    /// Stops the work.
    pub fn cancel(&self, cause: Cause) {
        let token = self.0.token.lock().unwrap_or_else(PoisonError::into_inner);
        if self.set_cause(cause) && cause == Cause::Operator {
            self.set_reason("stopped by the operator");
        }
        self.set_cancelled();
        token.cancel();
    }

    /// Another clone exists: the call that carries it has not come to its end.
    pub fn is_carried(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// How the tool says that the call ended.
    pub fn end(&self) -> Option<State> {
        self.0.end.get().copied()
    }

    /// Keeps how the call ended, and says whether this is the first to say so.
    pub(crate) fn set_end(&self, state: State) -> bool {
        // A quick tool can end before the guard has seen the token. All other causes are written down
        // before the token fires, so it was a lost client.
        let told = self.0.token.lock().unwrap_or_else(PoisonError::into_inner).is_cancelled();
        if told {
            self.set_cancelled();
            self.set_cause(Cause::Disconnect);
        }
        self.0.end.set(state).is_ok()
    }
}

/// A client's text as it may be kept and shown: bounded, and without control characters.
pub(crate) fn printable(text: &str) -> String {
    let mut kept: String = text.chars().filter(|c| !c.is_control()).take(MAX_TEXT + 1).collect();
    if kept.chars().count() > MAX_TEXT {
        kept.pop();
        kept.push('…');
    }
    kept
}

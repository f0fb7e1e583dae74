//! What travels down the chain with every call: a trace id and a way to stop. Both are handed on
//! by [`Caller::call`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::bail;
use chrono::{DateTime, Utc};
use rmcp::model::{CallToolRequestParams, CallToolResult, RequestMetaObject};
use rmcp::service::{Peer, RequestContext};
use rmcp::{RoleClient, RoleServer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::client::text_of;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How many notes a hop keeps.
const KEPT: usize = 1000;

/// Whoever a hop works for.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The same for all hops of one chain: 32 hexadecimal digits.
    pub trace: String,
    /// Fires when the caller no longer wants the work.
    pub stop: CancellationToken,
}

impl Caller {
    /// The top of a chain.
    pub fn first(stop: CancellationToken) -> Self {
        Self { trace: Uuid::new_v4().simple().to_string(), stop }
    }

    /// The caller of a tool. The trace id comes in the request's `_meta` (SEP-414).
    pub fn of(ctx: &RequestContext<RoleServer>) -> Self {
        Self::from_parent(ctx.meta.get_traceparent(), ctx.ct.clone())
    }

    /// The caller who sent this `traceparent`, a W3C trace context: `00-TRACE-SPAN-FLAGS`. What
    /// has no trace id in that place begins a new trace: it is a client's text, and will be logged.
    pub fn from_parent(parent: Option<&str>, stop: CancellationToken) -> Self {
        let hex = |text: &&str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        match parent.and_then(|parent| parent.split('-').nth(1)).filter(hex) {
            Some(trace) => Self { trace: trace.to_owned(), stop },
            None => Self::first(stop),
        }
    }

    /// What this caller sends along: the same trace, and a span of its own.
    pub fn parent(&self) -> String {
        let span = &Uuid::new_v4().simple().to_string()[..16];
        format!("00-{}-{span}-01", self.trace)
    }

    /// The same caller with another way to stop.
    #[must_use]
    pub fn with(&self, stop: CancellationToken) -> Self {
        Self { stop, trace: self.trace.clone() }
    }

    /// Calls a tool of the next hop. `None` means that the cancel has been passed on; the next
    /// hop may not have heard of it yet.
    ///
    /// `call_tool` is one future that sends and waits. When it loses the `select!` it is dropped,
    /// and then rmcp tells the server: by `notifications/cancelled`, or by closing the stream
    /// (HTTP 2026-07-28). So the cancel is passed on however this function ends, even if the task
    /// that runs it is aborted. (Only if rmcp's queue of messages is full, it is lost.)
    pub async fn call(
        &self,
        next: &Peer<RoleClient>,
        tool: &'static str,
        arguments: Value,
    ) -> anyhow::Result<Option<CallToolResult>> {
        let arguments: Map<String, Value> = serde_json::from_value(arguments)?;
        let mut meta = RequestMetaObject::new();
        meta.set_traceparent(self.parent());
        let mut call = CallToolRequestParams::new(tool).with_arguments(arguments);
        call.meta = Some(meta);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Ok(None),
            answer = next.call_tool(call) => match answer? {
                result if result.is_error == Some(true) => bail!("{}", text_of(&result)),
                result => Ok(Some(result)),
            },
        }
    }
}

/// What a hop noted, and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Note {
    /// The trace under which it happened.
    pub trace: String,
    /// Who noted it.
    pub hop: String,
    /// What happened: `starts`, `heard` (of the cancel), `stopped`.
    pub event: String,
    /// When. All hops are on one machine, so they have one clock.
    pub at: DateTime<Utc>,
}

/// The notes of a hop. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Notes(Arc<Mutex<VecDeque<Note>>>);

impl Notes {
    /// Logs the event, and keeps it.
    pub fn note(&self, caller: &Caller, hop: &str, event: &str) {
        tracing::info!(trace = caller.trace, hop, event);
        let (trace, hop, event) = (caller.trace.clone(), hop.to_owned(), event.to_owned());
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() == KEPT {
            notes.pop_front();
        }
        notes.push_back(Note { trace, hop, event, at: Utc::now() });
    }

    /// The notes of a trace, oldest first.
    pub fn of(&self, trace: &str) -> Vec<Note> {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.iter().filter(|note| note.trace == trace).cloned().collect()
    }
}

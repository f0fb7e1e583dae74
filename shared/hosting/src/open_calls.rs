//! The calls that are open on a connection, and the answers of those that were.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rmcp::model::{ProgressToken, RequestId, ServerJsonRpcMessage};
use tokio::time::Instant;

use shared::note::CallNote;

/// How many answers a session keeps for clients that have lost the stream of a call.
pub const KEPT: usize = 32;
/// How long it keeps them at most.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// The calls that are open on a connection. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct OpenCalls {
    table: Arc<Mutex<Table>>,
    /// Held while a call is on its way to the server. What waits for it comes after that call.
    pub(crate) handing_over: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Table {
    calls: HashMap<RequestId, OpenCall>,
    tokens: HashMap<ProgressToken, RequestId>,
    /// Cancelled calls. Until its tool has cleaned up, a call's id is taken, and its token brings no
    /// progress to another.
    cancelled: HashMap<RequestId, (Option<ProgressToken>, CallNote)>,
    /// How many cancelled calls there may be before those are forgotten that have cleaned up.
    sweep_at: usize,
    /// The session was closed, and did not fall silent.
    closed: bool,
    /// The newest answers, oldest first.
    answers: VecDeque<Answer>,
}

#[derive(Debug)]
struct Answer {
    stream: u64,
    /// The event that carried it to the client, if one did.
    event: Option<String>,
    kept: Instant,
    message: ServerJsonRpcMessage,
}

#[derive(Debug, Default)]
pub(crate) struct OpenCall {
    /// The server has received it. Until then its id is only taken.
    received: bool,
    /// The number that rmcp's session worker gave to the stream of the call's POST.
    stream: Option<u64>,
    token: Option<ProgressToken>,
    pub(crate) note: CallNote,
}

impl Table {
    /// The id belongs to a cancelled call whose tool is still at work.
    fn cleans_up(&self, id: &RequestId) -> bool {
        self.cancelled.get(id).is_some_and(|(_, note)| note.is_carried())
    }

    /// The token belongs to a cancelled call whose tool is still at work, and may still report.
    fn reports(&self, token: &ProgressToken) -> bool {
        let mut cancelled = self.cancelled.values();
        cancelled.any(|(its, note)| its.as_ref() == Some(token) && note.is_carried())
    }

    /// Takes the call out, if it is open. From here on its progress is dropped.
    fn take(&mut self, id: &RequestId) -> Option<OpenCall> {
        self.calls.get(id).filter(|call| call.received)?;
        let call = self.calls.remove(id)?;
        if let Some(token) = &call.token
            && self.tokens.get(token) == Some(id)
        {
            self.tokens.remove(token);
        }
        Some(call)
    }
}

impl OpenCalls {
    /// Takes an id for a request that is yet to be received. False if the id is in use.
    pub(crate) fn reserve(&self, id: &RequestId) -> bool {
        let mut table = self.table();
        if table.cleans_up(id) || table.calls.contains_key(id) {
            return false;
        }
        table.calls.insert(id.clone(), OpenCall::default());
        true
    }

    /// The stream of a reserved request.
    pub(crate) fn set_stream(&self, id: &RequestId, stream: Option<u64>) {
        if let Some(call) = self.table().calls.get_mut(id) {
            call.stream = stream;
        }
    }

    /// A request has been received. False if its id is that of another one at work.
    pub(crate) fn begin(
        &self,
        id: &RequestId,
        token: Option<ProgressToken>,
        note: CallNote,
    ) -> bool {
        let mut table = self.table();
        if table.cleans_up(id) {
            return false;
        }
        let call = table.calls.entry(id.clone()).or_default();
        if call.received {
            return false;
        }
        *call = OpenCall { received: true, token: token.clone(), note, stream: call.stream };
        // A call with the token of one that still reports goes without progress: no one could tell
        // whose it is.
        if let Some(token) = token.filter(|token| !table.reports(token)) {
            table.tokens.insert(token, id.clone());
        }
        true
    }

    /// The call is answered. None if no such call is open.
    pub(crate) fn end(&self, id: &RequestId) -> Option<OpenCall> {
        self.table().take(id)
    }

    /// The call is cancelled. None if no such call is open.
    pub(crate) fn cancel(&self, id: &RequestId) -> Option<OpenCall> {
        let mut table = self.table();
        let call = table.take(id)?;
        if table.cancelled.len() >= table.sweep_at {
            table.cancelled.retain(|_, (_, note)| note.is_carried());
            // Twice as many before the next sweep: so the cost of a cancel does not grow.
            table.sweep_at = 16 + 2 * table.cancelled.len();
        }
        table.cancelled.insert(id.clone(), (call.token.clone(), call.note.clone()));
        Some(call)
    }

    /// The session is closed.
    pub(crate) fn close(&self) {
        self.table().closed = true;
    }

    /// Whether the session was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.table().closed
    }

    /// An open call with this progress token exists.
    pub(crate) fn has_token(&self, token: &ProgressToken) -> bool {
        self.table().tokens.contains_key(token)
    }

    /// The id of some open call.
    pub(crate) fn any(&self) -> Option<RequestId> {
        self.table().calls.iter().find(|(_, call)| call.received).map(|(id, _)| id.clone())
    }

    /// Keeps the answer of a call that came on a stream, for a while.
    pub(crate) fn keep(&self, call: &OpenCall, answer: &ServerJsonRpcMessage) {
        let Some(stream) = call.stream else { return };
        let answers = &mut self.table().answers;
        answers.retain(|answer| answer.kept.elapsed() < KEPT_FOR);
        if answers.len() == KEPT {
            answers.pop_front();
        }
        let (kept, message) = (Instant::now(), answer.clone());
        answers.push_back(Answer { stream, event: None, kept, message });
    }

    /// The answer on this stream leaves as this event.
    pub(crate) fn given_as(&self, stream: u64, event: String) {
        let mut table = self.table();
        if let Some(answer) = table.answers.iter_mut().find(|answer| answer.stream == stream) {
            answer.event = Some(event);
        }
    }

    /// The answer that ended this stream, if it is still kept, and the event that it was.
    pub(crate) fn answer_on(&self, stream: u64) -> Option<(ServerJsonRpcMessage, Option<String>)> {
        let table = self.table();
        let answer = table.answers.iter().find(|answer| answer.stream == stream)?;
        let young = answer.kept.elapsed() < KEPT_FOR;
        young.then(|| (answer.message.clone(), answer.event.clone()))
    }

    /// No code of ours panics while it holds the lock.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What happens around every tool call, so that no tool has to think of it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::ready;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::request::Parts;
use futures::FutureExt;
use futures::future::BoxFuture;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CustomRequest, CustomResult, Implementation,
    ListToolsResult, PaginatedRequestParams, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::sync::Semaphore;
use tracing::{Instrument, Span, info, info_span, warn};

use crate::layer::{Layer, Server};
use crate::portable::portable;
use shared::calls::{State, id_of, session_of};
use shared::note::{CallNote, Cause};
use shared::stop::Stop;

/// When a caller that was refused may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How much a server takes on. rmcp itself bounds neither calls nor sessions, and waits for ever
/// for the rest of a body.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many calls may run at once.
    pub calls: usize,
    /// How many of them may belong to one session (HTTP 2025-11-25).
    pub calls_per_session: usize,
    /// How many sessions may be open at once (HTTP 2025-11-25).
    pub sessions: usize,
    /// How long the body of a request may take to arrive (HTTP).
    pub body: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let body = Duration::from_secs(5);
        Self { calls: 10_000, calls_per_session: 250, sessions: 1000, body }
    }
}

/// Answers every call: when the tool is unknown, when it panics (rmcp would leave the caller
/// waiting), when too many calls run, and when the server stops under it. It logs each call's
/// start, cancel and end.
#[derive(Debug)]
pub struct Guard {
    stop: Stop,
    limits: Limits,
    calls: Arc<Semaphore>,
    per_session: PerSession,
}

/// How many calls each session runs.
type PerSession = Arc<Mutex<HashMap<HeaderValue, usize>>>;

/// A call's place among those of its session.
struct Place(PerSession, HeaderValue);

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.1);
            }
        }
    }
}

impl Guard {
    /// Guards a server until it is told to stop.
    pub fn new(stop: Stop) -> Self {
        Self::with_limits(stop, Limits::default())
    }

    /// The same, with limits of the caller's choice.
    pub fn with_limits(stop: Stop, limits: Limits) -> Self {
        let calls = Arc::new(Semaphore::new(limits.calls));
        Self { stop, limits, calls, per_session: PerSession::default() }
    }
}

impl Layer for Guard {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        self.guard(next.clone(), request, ctx).boxed()
    }

    fn list_tools<'a>(
        &'a self,
        next: &'a Server,
        page: Option<PaginatedRequestParams>,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<ListToolsResult, ErrorData>> {
        async move {
            let mut list = next.list_tools(page, ctx).await?;
            list.tools.iter_mut().for_each(portable);
            Ok(list)
        }
        .boxed()
    }

    /// To rmcp, a `tools/call` whose params it cannot read has an unknown method.
    fn on_custom_request<'a>(
        &'a self,
        next: &'a Server,
        request: CustomRequest,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CustomResult, ErrorData>> {
        if request.method == "tools/call" {
            let why = "the params of tools/call: name must be a string, arguments an object";
            return ready(Err(ErrorData::invalid_params(why, None))).boxed();
        }
        next.on_custom_request(request, ctx).boxed()
    }

    fn get_info(&self, next: &Server) -> ServerConfig {
        let me = Implementation::new("mcp-cancellation-lessons", env!("CARGO_PKG_VERSION"));
        next.get_info().with_server_info(me)
    }
}

impl Guard {
    async fn guard(
        &self,
        next: Server,
        request: CallToolRequestParams,
        mut ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if self.stop.token().is_cancelled() {
            return Err(shutting_down());
        }
        let running = self.stop.running();
        let name = request.name.clone();
        if next.get_tool(&name).is_none() {
            let tools = next.list_tools(None, ctx).await?.tools;
            let known: Vec<_> = tools.iter().map(|tool| &*tool.name).collect();
            let message = format!("unknown tool {name:?}; this server has: {}", known.join(", "));
            return Err(ErrorData::invalid_params(message, None));
        }
        // The session's own limit first: a session that is full takes no room from the others.
        let place = self.place_in_session(&ctx)?;
        let Ok(permit) = Arc::clone(&self.calls).try_acquire_owned() else {
            return Err(busy("this server runs", self.limits.calls));
        };
        // A child of rmcp's token: it fires when the client cancels, and can be fired
        // for this call alone when the server stops.
        ctx.ct = ctx.ct.child_token();
        let cancel = ctx.ct.clone();
        let note = ctx.extensions.get::<CallNote>().cloned().unwrap_or_default();
        note.set_token(cancel.clone());
        ctx.extensions.insert(note.clone());
        let span = span_of(&name, &ctx);
        span.in_scope(|| info!("call starts"));
        let mut call = {
            let (note, span) = (note.clone(), span.clone());
            async move {
                // Inside a block: a layer may panic before it returns its future.
                let answer = async { next.call_tool(request, ctx).await };
                let answer = AssertUnwindSafe(answer).catch_unwind().await;
                log_end(&note, matches!(answer, Ok(Ok(_))));
                drop((running, permit, place));
                answer
            }
            .instrument(span)
            .boxed()
        };
        let heard = async {
            cancel.cancelled().await;
            note.set_cancelled();
            // All other causes are written down before the token fires.
            note.set_cause(Cause::Disconnect);
            let cause = note.cause().map(Cause::name);
            span.in_scope(|| info!(cause, reason = note.reason(), "call is cancelled"));
            std::future::pending::<Infallible>().await
        };
        let answer = tokio::select! {
            // In this order: a cancel is logged before the tool hears of it, and a result that
            // is there is given, even if the server stops at that moment.
            biased;
            never = heard => match never {},
            answer = &mut call => answer,
            () = self.stop.token().cancelled() => {
                if !cancel.is_cancelled() {
                    span.in_scope(|| info!(cause = "shutdown", "call is cancelled"));
                }
                note.cancel(Cause::Shutdown);
                let Some(answer) = self.stop.in_grace(&mut call).await else {
                    span.in_scope(|| warn!(outcome = "aborted", "call has ended"));
                    return Err(shutting_down());
                };
                answer
            }
        };
        // Its caller has not cancelled it, and waits for an answer.
        match note.cause() {
            Some(Cause::Operator) if note.end() == Some(State::Cancelled) => {
                return Err(ErrorData::internal_error("stopped by the operator", None));
            }
            // A tool that keeps no list may have been cut short: half a result is not given.
            Some(Cause::Shutdown) if note.end() != Some(State::Finished) => {
                return Err(shutting_down());
            }
            _ => {}
        }
        answer.unwrap_or_else(|_| {
            Err(ErrorData::internal_error(format!("the tool {name} panicked"), None))
        })
    }
}

impl Guard {
    /// Counts a call among those of its session, if it has one.
    fn place_in_session(
        &self,
        ctx: &RequestContext<RoleServer>,
    ) -> Result<Option<Place>, ErrorData> {
        let head = ctx.extensions.get::<Parts>();
        let Some(id) = head.and_then(|head| head.headers.get("mcp-session-id")) else {
            return Ok(None);
        };
        let mut running = self.per_session.lock().unwrap_or_else(PoisonError::into_inner);
        let count = running.entry(id.clone()).or_default();
        if *count >= self.limits.calls_per_session {
            return Err(busy("this session runs", self.limits.calls_per_session));
        }
        *count += 1;
        Ok(Some(Place(self.per_session.clone(), id.clone())))
    }
}

fn shutting_down() -> ErrorData {
    ErrorData::internal_error("the server is shutting down", None)
}

/// Refuses a call, and says when to try again: for people in words, for programs in the data.
fn busy(who: &str, limit: usize) -> ErrorData {
    let seconds = RETRY_AFTER.as_secs();
    let message = format!(
        "busy: {who} {limit} calls, as many as it may; cancel some, or try again in {seconds} s"
    );
    ErrorData::internal_error(message, Some(serde_json::json!({ "retryAfter": seconds })))
}

fn span_of(tool: &str, ctx: &RequestContext<RoleServer>) -> Span {
    // `Option` fields: a revision without sessions has no `session`.
    let session = session_of(ctx);
    info_span!("call", tool, request_id = %id_of(ctx), session)
}

/// Logs how the call ended and, if it was cancelled, how long the tool took to stop.
fn log_end(note: &CallNote, answered: bool) {
    let outcome = match note.end() {
        Some(State::Finished) => "finished",
        Some(State::Cancelled) => "cancelled",
        // A tool that keeps no list says it by its answer alone.
        None if answered => "finished",
        None if note.cancelled_at().is_some() => "cancelled",
        _ => "failed",
    };
    let took = note.cancelled_at().map(|at| at.elapsed().as_secs_f64() * 1e3);
    info!(outcome, cancel_to_stop_ms = took, "call has ended");
}

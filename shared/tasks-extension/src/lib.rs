//! The tasks extension of 2026-07-28 (SEP-2663, `io.modelcontextprotocol/tasks`): what rmcp leaves
//! to a server, and what it leaves to a client.
//!
//! rmcp has the messages. A server needs a [`store`] of its tasks, and has to look who may be
//! answered with one. A [`client`] has to poll. No task here asks its client for input.

pub mod client;
pub mod store;

use rmcp::model::{
    CallToolResult, ClientCapabilities, ContentBlock, CustomRequest, ErrorCode, ProtocolVersion,
};
use rmcp::service::RequestContext;
use rmcp::task_manager::TaskExit;
use rmcp::{ErrorData, RoleServer};
use serde_json::Value;
use shared::calls::Call;
use shared::server::Caller;
use tokio_util::sync::CancellationToken;

use store::TaskHandle;

/// For whom a tool works.
#[derive(Debug)]
pub enum Asker {
    /// A request that waits for the result.
    Waiting(RequestContext<RoleServer>),
    /// A task, whose request was answered long ago.
    Task(TaskHandle),
}

impl Caller for Asker {
    fn stop(&self) -> &CancellationToken {
        match self {
            Self::Waiting(ctx) => ctx.stop(),
            Self::Task(task) => task.stop(),
        }
    }

    async fn report(&self, done: u64, whole: u64, message: String) {
        match self {
            Self::Waiting(ctx) => ctx.report(done, whole, message).await,
            Self::Task(task) => task.say(message),
        }
    }
}

/// Writes down how the call ended: after its work has stopped, and before its task says so. The
/// error of a tool becomes a result with `isError`.
pub fn finish(
    call: Call,
    done: anyhow::Result<Option<CallToolResult>>,
) -> Result<CallToolResult, TaskExit> {
    let cancelled = matches!(done, Ok(None));
    call.finish(done).or_else(|why| {
        let failed = CallToolResult::error(vec![ContentBlock::text(why)]);
        if cancelled { Err(TaskExit::Cancelled) } else { Ok(failed) }
    })
}

/// Whether this request may be answered with a task. Its client must have declared the extension,
/// and speak a revision that has it: under 2025-11-25 the declaration counts for nothing.
pub fn takes_tasks(ctx: &RequestContext<RoleServer>) -> bool {
    let revision = ctx.protocol_version();
    ctx.client_capabilities().is_some_and(|declared| declared.supports_tasks())
        && revision.is_some_and(|revision| revision >= ProtocolVersion::V_2026_07_28)
}

/// The error -32021 for a client that cannot have a task. rmcp checks only the declaration, so the
/// revision is checked here.
pub fn require_tasks(ctx: &RequestContext<RoleServer>) -> Result<(), ErrorData> {
    if takes_tasks(ctx) {
        return Ok(());
    }
    let required = ClientCapabilities::builder().enable_tasks().build();
    Err(ErrorData::missing_required_client_capability(required))
}

/// What is wrong with a request that rmcp does not know. To rmcp, a request of the extension whose
/// params it cannot read has an unknown method. That does not help a client that has sent a number
/// for a task id, so this says what is wrong.
pub fn refusal(request: CustomRequest, ctx: &RequestContext<RoleServer>) -> ErrorData {
    let CustomRequest { method, params, .. } = request;
    if !matches!(&*method, "tasks/get" | "tasks/update" | "tasks/cancel") {
        return ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method, None);
    }
    if let Err(refused) = require_tasks(ctx) {
        return refused;
    }
    let why = match params.unwrap_or_default().get("taskId") {
        None => format!("{method} needs a taskId"),
        Some(Value::String(_)) => format!("the params of {method} cannot be read"),
        Some(id) => format!("taskId must be a string, not {id}"),
    };
    ErrorData::invalid_params(why, None)
}

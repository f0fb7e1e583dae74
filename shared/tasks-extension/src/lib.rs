//! The tasks extension of 2026-07-28 (SEP-2663, `io.modelcontextprotocol/tasks`): what rmcp leaves
//! to a server, and what it leaves to a client.
//!
//! rmcp has the messages. A server needs a [`store`] of its tasks, and has to look who may be
//! answered with one. A [`client`] has to poll.

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

/// Writes down how the call ended: when its work has stopped, and before its task says so. A tool
/// that failed has a result, which says why.
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

/// The error -32021 for a client that cannot have a task. rmcp asks for the declaration alone, so
/// the revision is looked at here.
pub fn require_tasks(ctx: &RequestContext<RoleServer>) -> Result<(), ErrorData> {
    if takes_tasks(ctx) {
        return Ok(());
    }
    let required = ClientCapabilities::builder().enable_tasks().build();
    Err(ErrorData::missing_required_client_capability(required))
}

/// What is wrong with a request that rmcp does not know. It takes one whose params it cannot read
/// for one of an unknown method. To a client that sends a number for a task id that says nothing.
pub fn unknown(request: CustomRequest, ctx: &RequestContext<RoleServer>) -> ErrorData {
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

//! The methods of the tasks extension: `tasks/get`, `tasks/update`, `tasks/cancel`.

use rmcp::model::{
    CancelTaskParams, ClientCapabilities, CustomRequest, CustomResult, ErrorCode, GetTaskParams,
    GetTaskResult, ProtocolVersion, ServerCapabilities, ServerConfig, UpdateTaskParams,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, tool_handler};
use serde_json::Value;

use super::TaskServer;

#[tool_handler]
impl ServerHandler for TaskServer {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_tasks().build())
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        require_tasks(&ctx)?;
        self.store.get(&request.task_id).map(GetTaskResult::new)
    }

    /// No task here ever asks its client for anything. An answer to no question is ignored.
    async fn update_task(
        &self,
        request: UpdateTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        require_tasks(&ctx)?;
        self.store.get(&request.task_id).map(drop)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        require_tasks(&ctx)?;
        self.store.cancel(&request.task_id)
    }

    /// rmcp takes a request whose params it cannot read for one of a method that it does not
    /// know. To a client that sends a number for a task id that says nothing.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        ctx: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let CustomRequest { method, params, .. } = request;
        if !matches!(&*method, "tasks/get" | "tasks/update" | "tasks/cancel") {
            return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method, None));
        }
        require_tasks(&ctx)?;
        let why = match params.unwrap_or_default().get("taskId") {
            None => format!("{method} needs a taskId"),
            Some(Value::String(_)) => format!("the params of {method} cannot be read"),
            Some(id) => format!("taskId must be a string, not {id}"),
        };
        Err(ErrorData::invalid_params(why, None))
    }
}

/// Whether this request may be answered with a task. Its client must have declared the extension,
/// and speak a revision that has it: under 2025-11-25 the declaration counts for nothing.
pub(super) fn takes_tasks(ctx: &RequestContext<RoleServer>) -> bool {
    let revision = ctx.protocol_version();
    ctx.client_capabilities().is_some_and(|declared| declared.supports_tasks())
        && revision.is_some_and(|revision| revision >= ProtocolVersion::V_2026_07_28)
}

/// rmcp asks for the declaration alone, so the revision is looked at here.
fn require_tasks(ctx: &RequestContext<RoleServer>) -> Result<(), ErrorData> {
    if takes_tasks(ctx) {
        return Ok(());
    }
    let required = ClientCapabilities::builder().enable_tasks().build();
    Err(ErrorData::missing_required_client_capability(required))
}

//! Tools that treat their cancellation wrongly.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelTaskParams, CustomRequest, CustomResult,
    GetTaskParams, GetTaskResult, ListToolsResult, PaginatedRequestParams, ServerConfig, Tool,
    UpdateTaskParams,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Wrong;
use crate::calls::CancelReason;

/// A server with a flaw.
#[derive(Debug, Clone)]
pub struct FlawedServer<S> {
    server: S,
    wrong: Wrong,
    memory: Arc<Mutex<Memory>>,
}

/// What a flaw has to remember from one call to the next.
#[derive(Debug, Default)]
struct Memory {
    stuck: bool,
    /// The tokens that stop the calls of a clumsy server.
    tokens: Vec<CancellationToken>,
    /// The result that a muddled server gives to the next caller.
    result: Option<CallToolResponse>,
}

impl<S> FlawedServer<S> {
    /// Breaks the server.
    pub fn new(server: S, wrong: Wrong) -> Self {
        Self { server, wrong, memory: Arc::default() }
    }

    fn with_memory<R>(&self, use_it: impl FnOnce(&mut Memory) -> R) -> R {
        use_it(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: ServerHandler> ServerHandler for FlawedServer<S> {
    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        mut ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        // `list_calls` stays honest: it is how a lesson finds the flaw out.
        if request.name == "list_calls" {
            return self.server.call_tool(request, ctx).await;
        }
        if self.with_memory(|memory| memory.stuck) {
            std::future::pending::<()>().await;
        }
        // The tool sees a token of its own in place of the real one: what the flaw is to do
        // when the cancel comes is done before the tool hears of it.
        let (asked, told) = (ctx.ct.clone(), CancellationToken::new());
        ctx.ct = told.clone();
        match self.wrong {
            Wrong::Forgetful => drop(ctx.extensions.remove::<CancelReason>()),
            Wrong::Clumsy => self.with_memory(|memory| memory.tokens.push(told.clone())),
            _ => {}
        }

        let call = self.server.call_tool(request, ctx);
        tokio::pin!(call);
        tokio::select! {
            biased;
            () = asked.cancelled() => {}
            answer = &mut call => return match self.wrong {
                Wrong::Muddled => {
                    let mine = answer?;
                    Ok(self.with_memory(|memory| memory.result.replace(mine.clone())).unwrap_or(mine))
                }
                _ => answer,
            },
        }
        // From here on the call is cancelled.
        match self.wrong {
            Wrong::Deaf => return call.await,
            Wrong::Slow | Wrong::Sluggish => {
                let late = if self.wrong == Wrong::Slow { 1200 } else { 500 };
                if let Ok(answer) = timeout(Duration::from_millis(late), &mut call).await {
                    return answer;
                }
            }
            Wrong::Stuck => self.with_memory(|memory| memory.stuck = true),
            Wrong::Clumsy => self.with_memory(|memory| {
                memory.tokens.drain(..).for_each(|token| token.cancel());
            }),
            _ => {}
        }
        told.cancel();
        call.await
    }

    fn get_info(&self) -> ServerConfig {
        self.server.get_info()
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.server.get_tool(name)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        self.server.list_tools(request, ctx).await
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        self.server.get_task(request, ctx).await
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.server.update_task(request, ctx).await
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        match self.wrong {
            // Knows the task, acknowledges, and tells nobody.
            Wrong::Deaf => {
                self.server.get_task(GetTaskParams::new(request.task_id), ctx).await.map(drop)
            }
            _ => self.server.cancel_task(request, ctx).await,
        }
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        ctx: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        self.server.on_custom_request(request, ctx).await
    }
}

//! Tools that treat their cancellation wrongly.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hosting::layer::{Layer, Server};
use rmcp::model::{CallToolRequestParams, CallToolResponse, CancelTaskParams, GetTaskParams};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use shared::note::{CallNote, Cause};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::Wrong;

/// A layer with a flaw.
#[derive(Debug)]
pub(crate) struct Flawed {
    wrong: Wrong,
    memory: Mutex<Memory>,
}

/// What a flaw has to remember from one call to the next.
#[derive(Debug, Default)]
struct Memory {
    stuck: bool,
    /// What stops each call of a clumsy server, and what fires when the call has ended.
    calls: Vec<(CancellationToken, CancellationToken)>,
    /// The result that a muddled server gives to the next caller.
    result: Option<CallToolResponse>,
}

impl Layer for Flawed {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        self.call(next, request, ctx).boxed()
    }

    fn cancel_task<'a>(
        &'a self,
        next: &'a Server,
        request: CancelTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<(), ErrorData>> {
        async move {
            match self.wrong {
                // Knows the task, acknowledges, and tells nobody.
                Wrong::Deaf => {
                    next.get_task(GetTaskParams::new(request.task_id), ctx).await.map(drop)
                }
                _ => next.cancel_task(request, ctx).await,
            }
        }
        .boxed()
    }
}

impl Flawed {
    /// This flaw, in the server's tools.
    pub(crate) fn new(wrong: Wrong) -> Self {
        Self { wrong, memory: Mutex::default() }
    }

    fn with_memory<R>(&self, use_it: impl FnOnce(&mut Memory) -> R) -> R {
        use_it(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn call(
        &self,
        next: &Server,
        request: CallToolRequestParams,
        mut ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        // `list_calls` stays honest: it is how a lesson finds the flaw out.
        if request.name == "list_calls" {
            return next.call_tool(request, ctx).await;
        }
        if self.with_memory(|memory| memory.stuck) {
            std::future::pending::<()>().await;
        }
        // The tool sees a token of its own in place of the real one: what the flaw is to do
        // when the cancel comes is done before the tool hears of it.
        let (asked, told) = (ctx.ct.clone(), CancellationToken::new());
        ctx.ct = told.clone();
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        let note = ctx.extensions.get::<CallNote>().cloned();
        match self.wrong {
            Wrong::Forgetful => drop(ctx.extensions.remove::<CallNote>()),
            Wrong::Clumsy => self.with_memory(|memory| memory.calls.push((told.clone(), ended))),
            _ => {}
        }

        let call = next.call_tool(request, ctx);
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
            // All calls are told before the first of them can answer.
            Wrong::Abrupt if note.is_some_and(|note| note.cause() == Some(Cause::Shutdown)) => {
                std::process::exit(143)
            }
            Wrong::Slow | Wrong::Sluggish => {
                let late = if self.wrong == Wrong::Slow { 1200 } else { 500 };
                if let Ok(answer) = timeout(Duration::from_millis(late), &mut call).await {
                    return answer;
                }
            }
            Wrong::Stuck => self.with_memory(|memory| memory.stuck = true),
            // The right call ends last: whoever sees its end sees the harm, too.
            Wrong::Clumsy => {
                drop(end);
                let calls = self.with_memory(|memory| std::mem::take(&mut memory.calls));
                for (told, _) in &calls {
                    told.cancel();
                }
                for (_, ended) in calls {
                    ended.cancelled().await;
                }
            }
            _ => {}
        }
        told.cancel();
        call.await
    }
}

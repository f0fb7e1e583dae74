//! The check of the exercise: the learner's client against the healthy server and three wrong ones.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use course::exercise::proof::Table;
use course::exercise::tool::setup;
use course::exercise::{Clock, Exercise};
use course::lesson::Protocol;
use course::stage::Stage;
use futures::FutureExt;
use futures::future::BoxFuture;
use hosting::between::Between;
use hosting::layer::{Layer, Server};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelTaskParams, DetailedTask, GetTaskParams,
    GetTaskResult, TaskPayload,
};
use rmcp::service::{Peer, RequestContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tasks_extension::store::Limits;

use crate::tools::TaskServer;

/// The exercise of this lesson.
pub const EXERCISE: Exercise = Exercise {
    stub: include_str!("stub.rs"),
    solution: include_str!("solution.rs"),
    file: concat!(env!("CARGO_MANIFEST_DIR"), "/src/exercise.rs"),
    clock: Clock::Paused,
    check: || Box::pin(check(crate::exercise::prove)),
};

const TICK: Duration = Duration::from_secs(1);

/// What is wrong with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// It acknowledges a cancel, and that is all.
    Deaf,
    /// It says that the task is cancelled, and works on.
    Lies,
    /// It forgets a task when the connection that started it is lost.
    Forgets,
}

/// Plays an answer.
pub async fn check<F>(prove: F) -> anyhow::Result<String>
where
    F: AsyncFn(&Stage) -> anyhow::Result<()>,
{
    let healthy = Watched::default();
    let mut table = Table::healthy(play(&prove, &healthy).await?)?;
    ensure!(
        healthy.0.reconnected.load(Ordering::Relaxed),
        "your proof looks at the task on the connection that has started it\n\
         close that client, and look with another: stage.connect_as(..) connects as often as you like"
    );
    ensure!(
        healthy.0.cancelled.load(Ordering::Relaxed),
        "your proof does not cancel the task\ncrate::cancel(&client, id).await? sends tasks/cancel"
    );
    for (name, flaw) in [
        ("deaf to the cancel", Flaw::Deaf),
        ("lies about its work", Flaw::Lies),
        ("forgets its tasks", Flaw::Forgets),
    ] {
        table.wrong(name, play(&prove, &Watched::new(flaw)).await?);
    }
    table.complete()?;
    Ok("a task outlives its connection, and whoever has its id can stop it".to_owned())
}

async fn play<F>(prove: &F, watched: &Watched) -> anyhow::Result<anyhow::Result<()>>
where
    F: AsyncFn(&Stage) -> anyhow::Result<()>,
{
    let setup = setup(TICK)?;
    let stop = setup.stop.clone();
    let server = Server::new(TaskServer::new(setup, Limits::default())?).with(watched.clone());
    let stage = Stage::piped(server, Between::default(), stop.clone(), Protocol::V2026);
    let proved = prove(&stage).await;
    stop.now();
    Ok(proved)
}

/// Notes what a client does, and is wrong as it was told. Clones share it.
#[derive(Clone, Default)]
struct Watched(Arc<Inner>);

#[derive(Default)]
struct Inner {
    flaw: Option<Flaw>,
    /// The connection that the task was started on.
    starter: Mutex<Option<Peer<RoleServer>>>,
    reconnected: AtomicBool,
    cancelled: AtomicBool,
}

impl Watched {
    fn new(flaw: Flaw) -> Self {
        Self(Arc::new(Inner { flaw: Some(flaw), ..Inner::default() }))
    }

    fn starter_is_gone(&self) -> bool {
        let starter = self.0.starter.lock().unwrap_or_else(PoisonError::into_inner);
        starter.as_ref().is_some_and(Peer::is_transport_closed)
    }
}

impl Layer for Watched {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        if request.name == "process_large_file" {
            let mut starter = self.0.starter.lock().unwrap_or_else(PoisonError::into_inner);
            *starter = Some(ctx.peer.clone());
        }
        next.call_tool(request, ctx).boxed()
    }

    fn get_task<'a>(
        &'a self,
        next: &'a Server,
        request: GetTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<GetTaskResult, ErrorData>> {
        let gone = self.starter_is_gone();
        self.0.reconnected.fetch_or(gone, Ordering::Relaxed);
        if gone && self.0.flaw == Some(Flaw::Forgets) {
            return async { Err(ErrorData::invalid_params("no such task", None)) }.boxed();
        }
        let lies = self.0.flaw == Some(Flaw::Lies) && self.0.cancelled.load(Ordering::Relaxed);
        async move {
            let mut found = next.get_task(request, ctx).await?;
            if lies {
                found.task = DetailedTask::new(found.task.task, TaskPayload::Cancelled);
            }
            Ok(found)
        }
        .boxed()
    }

    fn cancel_task<'a>(
        &'a self,
        next: &'a Server,
        request: CancelTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<(), ErrorData>> {
        self.0.cancelled.store(true, Ordering::Relaxed);
        match self.0.flaw {
            Some(Flaw::Deaf | Flaw::Lies) => async { Ok(()) }.boxed(),
            _ => next.cancel_task(request, ctx).boxed(),
        }
    }
}

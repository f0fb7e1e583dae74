//! Tasks on every replica: one works, any other can be asked.
//!
//! The owner of a task holds a lease on it and renews it with each beat. If it dies, the lease
//! runs out, and whoever looks next ends the task as failed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::DateTime;
use futures::FutureExt;
use futures::future::BoxFuture;
use hosting::layer::{Layer, Server};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelTaskParams, CreateTaskResult, DetailedTask,
    GetTaskParams, GetTaskResult, JsonObject, RequestMetaObject, ServerCapabilities, ServerConfig,
    Task, TaskPayload, TaskStatus,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use shared::stop::Stop;
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::{Beat, End, Store, TASK_TTL, TaskRecord};

/// How long a client is asked to wait before it looks again.
const POLL: Duration = Duration::from_millis(100);

/// The tasks of one replica.
pub struct Tasks {
    store: Arc<dyn Store>,
    owner: String,
    lease: Duration,
    /// A stop waits until the ends of all tasks are written.
    stop: Stop,
    /// What runs here, for the bell.
    running: Mutex<HashMap<String, CancellationToken>>,
}

impl Tasks {
    /// No tasks yet. This replica is told apart from others by a name of its own making.
    pub fn new(store: Arc<dyn Store>, lease: Duration, stop: Stop) -> Self {
        Self { store, owner: Uuid::new_v4().to_string(), lease, stop, running: Mutex::default() }
    }

    /// The bell says that a task is cancelled. It concerns one replica.
    pub fn cancelled_elsewhere(&self, id: &str) {
        if let Some(stop) = self.running().get(id) {
            stop.cancel();
        }
    }

    /// Records the task first: work that nobody can find must not begin.
    async fn start(
        self: Arc<Self>,
        next: Server,
        request: CallToolRequestParams,
        mut ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let id = Uuid::new_v4().to_string();
        self.store.start_task(&id, &self.owner, self.lease).await.map_err(|e| unreachable(&e))?;
        // The request is answered now. Its token, and the right to report progress, end with it.
        let stop = CancellationToken::new();
        ctx.ct = stop.clone();
        ctx.meta = RequestMetaObject::default();
        let task = self.look(&id).await?;
        // A cancel before this is in the record, which the first beat reads.
        self.running().insert(id.clone(), stop.clone());
        let counted = self.stop.running();
        tokio::spawn(async move {
            let work = async { next.call_tool(request, ctx).await };
            self.work(&id, stop, work).await;
            self.running().remove(&id);
            drop(counted);
        });
        Ok(CallToolResponse::Task(CreateTaskResult::new(task.task)))
    }

    /// Works, beats, and writes the end.
    async fn work(
        &self,
        id: &str,
        stop: CancellationToken,
        work: impl Future<Output = Result<CallToolResponse, ErrorData>>,
    ) {
        // The work goes on while the engine thinks about a beat.
        let answer = tokio::select! {
            answer = work => answer,
            never = self.beats(id, &stop) => match never {},
        };
        let (end, payload) = match answer {
            Ok(CallToolResponse::Complete(result)) if result.is_error != Some(true) => {
                (End::Completed, json!(result))
            }
            _ if stop.is_cancelled() => (End::Cancelled, Value::Null),
            Ok(CallToolResponse::Complete(result)) => (End::Completed, json!(result)),
            Ok(_) => (End::Failed, json!(ErrorData::internal_error("no result", None))),
            Err(error) => (End::Failed, json!(error)),
        };
        // Until the engine has heard it, or the lease is over and a reader has ended the task.
        for _ in 0..self.lease.as_millis() / 100 {
            if self.store.settle(id, &self.owner, end, &payload).await.is_ok() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Renews the lease, again and again, and stops the work if the record says so.
    async fn beats(&self, id: &str, stop: &CancellationToken) -> Infallible {
        let mut beat = interval(self.lease / 6);
        loop {
            beat.tick().await;
            match self.store.beat(id, &self.owner, self.lease).await {
                Ok(Beat::Cancelled | Beat::Lost) => stop.cancel(),
                // An engine that is down says nothing against the task. If it is down for
                // longer than the lease, the next beat says so.
                Ok(Beat::Renewed) | Err(_) => {}
            }
        }
    }

    async fn look(&self, id: &str) -> Result<DetailedTask, ErrorData> {
        let found = self.store.task(id).await.map_err(|error| unreachable(&error))?;
        found.map(|record| in_words(id, record)).ok_or_else(|| unknown(id))
    }

    /// No code of ours panics while it holds the lock.
    fn running(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stands around a server, and answers a call with a task if the client takes tasks.
pub struct InTasks(pub Arc<Tasks>);

impl Layer for InTasks {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        let tasks = ctx.client_capabilities().is_some_and(|declared| declared.supports_tasks());
        if tasks && request.name != "list_calls" {
            self.0.clone().start(next.clone(), request, ctx).boxed()
        } else {
            next.call_tool(request, ctx).boxed()
        }
    }

    fn get_task<'a>(
        &'a self,
        _: &'a Server,
        request: GetTaskParams,
        _: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<GetTaskResult, ErrorData>> {
        async move { self.0.look(&request.task_id).await.map(GetTaskResult::new) }.boxed()
    }

    /// The acknowledgement says that the cancel is recorded. If it is not, this is an error.
    fn cancel_task<'a>(
        &'a self,
        _: &'a Server,
        request: CancelTaskParams,
        _: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<(), ErrorData>> {
        async move {
            let known = self.0.store.cancel_task(&request.task_id).await;
            let known = known.map_err(|error| unreachable(&error))?;
            known.then_some(()).ok_or_else(|| unknown(&request.task_id))
        }
        .boxed()
    }

    fn get_info(&self, next: &Server) -> ServerConfig {
        let mut info = next.get_info();
        info.capabilities = ServerCapabilities::builder().enable_tools().enable_tasks().build();
        info
    }
}

fn in_words(id: &str, record: TaskRecord) -> DetailedTask {
    let payload = match record.payload {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    };
    let (status, payload) = match record.end {
        None => (TaskStatus::Working, TaskPayload::Working),
        Some(End::Completed) => (TaskStatus::Completed, TaskPayload::Completed { result: payload }),
        Some(End::Failed) => (TaskStatus::Failed, TaskPayload::Failed { error: payload }),
        Some(End::Cancelled) => (TaskStatus::Cancelled, TaskPayload::Cancelled),
    };
    let time = |millis| DateTime::from_timestamp_millis(millis).unwrap_or_default().to_rfc3339();
    let task = Task::new(id, status, time(record.created), time(record.updated))
        .with_ttl_ms(millis(TASK_TTL))
        .with_poll_interval_ms(millis(POLL));
    DetailedTask::new(task, payload)
}

fn unknown(id: &str) -> ErrorData {
    let message = format!("no task {id:?}: there never was one, or its time is over");
    ErrorData::invalid_params(message, None)
}

fn unreachable(error: &anyhow::Error) -> ErrorData {
    let message = format!("the store of the replicas cannot be reached, try again: {error:#}");
    ErrorData::internal_error(message, None)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! The tasks of a server: which there are, what each is doing, and how it ended.
//!
//! rmcp brings such a store, `rmcp::task_manager::TaskManager`. In version 3.9.0 it takes any
//! number of tasks, forgets them only when it is used, leaves a task whose work panics at
//! `working` until its time is over, and aborts work that is overdue, in the middle of whatever it does. This one
//! speaks the same types and does none of that: it is what a server needs that runs for long.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use futures::FutureExt;
use rmcp::ErrorData;
use rmcp::model::{CallToolResult, DetailedTask, JsonObject, Task, TaskPayload, TaskStatus};
use rmcp::task_manager::TaskExit;
use serde::Serialize;
use serde_json::json;
use shared::calls::TaskCounts;
use shared::note::{CallNote, Cause};
use shared::stop::Stop;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How much a store holds, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many tasks it holds at once, those that have ended included.
    pub tasks: usize,
    /// How long a task may work, and how long its end is remembered.
    pub ttl: Duration,
}

impl Default for Limits {
    /// 64 tasks, five minutes.
    fn default() -> Self {
        Self { tasks: 64, ttl: Duration::from_secs(300) }
    }
}

/// The store. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    limits: Limits,
    poll_interval: Duration,
    stop: Stop,
    tasks: Arc<Mutex<HashMap<String, Entry>>>,
}

#[derive(Debug)]
struct Entry {
    task: DetailedTask,
    note: CallNote,
}

/// What the work of a task holds: a token of its own, and a way to say how it is getting on.
#[derive(Debug, Clone)]
pub struct TaskHandle {
    store: Store,
    id: String,
    stop: CancellationToken,
    note: CallNote,
}

impl Store {
    /// An empty store. A client is asked to wait for `poll_interval` before it looks again. When
    /// the server stops, all tasks are told to stop, and it waits for them, for as long as its grace.
    pub fn new(limits: Limits, poll_interval: Duration, stop: Stop) -> Self {
        Self { limits, poll_interval, stop, tasks: Arc::default() }
    }

    /// Starts work as a task. Fails, with a sentence, when the store is full.
    ///
    /// The id is all that a client needs in order to read the result or to cancel, so it must
    /// not be guessable: a random UUID has 122 random bits. The note is that of the call which
    /// becomes the task.
    pub fn start<F>(
        &self,
        note: CallNote,
        work: impl FnOnce(TaskHandle) -> F + Send + 'static,
    ) -> Result<Task, String>
    where
        F: Future<Output = Result<CallToolResult, TaskExit>> + Send + 'static,
    {
        let Limits { tasks: capacity, ttl } = self.limits;
        let (id, now) = (Uuid::new_v4().to_string(), Utc::now().to_rfc3339());
        let task = Task::new(&id, TaskStatus::Working, &now, &now)
            .with_ttl_ms(millis(ttl))
            .with_poll_interval_ms(millis(self.poll_interval));
        let stop = CancellationToken::new();
        let mut tasks = self.tasks();
        if tasks.len() >= capacity {
            return Err(format!(
                "busy: the server keeps {capacity} tasks, and has no room for another; each is \
                 forgotten {ttl:?} after its end, try again later"
            ));
        }
        let entry = Entry {
            task: DetailedTask::new(task.clone(), TaskPayload::Working),
            note: note.clone(),
        };
        tasks.insert(id.clone(), entry);
        drop(tasks);
        note.set_token(stop.clone());
        let handle = TaskHandle { store: self.clone(), id, stop, note };
        // Inside a block: `work` may panic before it returns its future.
        let work = {
            let handle = handle.clone();
            async move { work(handle).await }
        };
        tokio::spawn(self.clone().keep(handle, work));
        Ok(task)
    }

    /// A task's whole life: its work, its end, and the time for which that is remembered.
    async fn keep(
        self,
        task: TaskHandle,
        work: impl Future<Output = Result<CallToolResult, TaskExit>>,
    ) {
        let running = self.stop.running();
        let mut work = pin!(async {
            let mut work = pin!(AssertUnwindSafe(work).catch_unwind());
            tokio::select! {
                ended = &mut work => return ended,
                () = self.stop.token().cancelled() => task.note.cancel(Cause::Shutdown),
            }
            let aborted = || internal("aborted: the server is shutting down".to_owned());
            self.stop.in_grace(work).await.unwrap_or_else(|| Ok(Err(TaskExit::Error(aborted()))))
        });
        if let Ok(ended) = timeout(self.limits.ttl, &mut work).await {
            self.settle(
                &task.id,
                match ended {
                    // A result that says `isError` is a result: `failed` is for JSON-RPC errors.
                    Ok(Ok(result)) => TaskPayload::Completed { result: object(&result) },
                    Ok(Err(TaskExit::Cancelled)) => TaskPayload::Cancelled,
                    Ok(Err(TaskExit::Error(error))) => failed(&error),
                    Err(_panic) => failed(&internal("the tool panicked".to_owned())),
                },
            );
        } else {
            let ttl = self.limits.ttl;
            self.settle(&task.id, failed(&internal(format!("expired: not done within {ttl:?}"))));
            // Told, not dropped: it may have to clean up. Until it has stopped it takes up room.
            task.note.cancel(Cause::Timeout);
            let _ = work.await;
        }
        drop(running);
        sleep(self.limits.ttl).await;
        self.tasks().remove(&task.id);
    }

    /// How a task stands, its result included once it has one.
    pub fn get(&self, id: &str) -> Result<DetailedTask, ErrorData> {
        let tasks = self.tasks();
        tasks.get(id).map(|entry| entry.task.clone()).ok_or_else(|| unknown(id))
    }

    /// How many tasks stand in which state.
    pub fn by_state(&self) -> TaskCounts {
        // A state without a task counts 0: a graph would show nothing for it otherwise.
        let states = ["working", "completed", "cancelled", "failed"];
        let mut counts: TaskCounts = states.map(|state| (state.to_owned(), 0)).into();
        for entry in self.tasks().values() {
            let state = json!(entry.task.status());
            *counts.entry(state.as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
        counts
    }

    /// Tells the work of a task to stop, and does no more: whether and when it stops is for the
    /// work to say. On a task that has ended it changes nothing.
    pub fn cancel(&self, id: &str) -> Result<(), ErrorData> {
        let tasks = self.tasks();
        tasks.get(id).map(|entry| entry.note.cancel(Cause::Notification)).ok_or_else(|| unknown(id))
    }

    fn settle(&self, id: &str, end: TaskPayload) {
        self.update(id, |task| {
            if let TaskPayload::Failed { error } = &end {
                task.task.status_message = error["message"].as_str().map(str::to_owned);
            }
            *task = DetailedTask::new(task.task.clone(), end);
        });
    }

    /// Changes a task that has not ended yet. An end is final.
    fn update(&self, id: &str, change: impl FnOnce(&mut DetailedTask)) {
        if let Some(Entry { task, .. }) = self.tasks().get_mut(id)
            && !task.status().is_terminal()
        {
            change(task);
            task.task.last_updated_at = Utc::now().to_rfc3339();
        }
    }

    /// No code of ours panics while it holds the lock.
    fn tasks(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TaskHandle {
    /// Fires when the task is cancelled, is overdue, or the server stops.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// What a person who looks at the task should read now.
    pub fn say(&self, message: String) {
        self.store.update(&self.id, |task| task.task.status_message = Some(message));
    }
}

fn unknown(id: &str) -> ErrorData {
    let message = format!("no task {id:?}: there never was one, or its time is over");
    ErrorData::invalid_params(message, None)
}

fn internal(message: String) -> ErrorData {
    ErrorData::internal_error(message, None)
}

fn failed(error: &ErrorData) -> TaskPayload {
    TaskPayload::Failed { error: object(error) }
}

fn object(value: &impl Serialize) -> JsonObject {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::Object(object)) => object,
        _ => JsonObject::new(),
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

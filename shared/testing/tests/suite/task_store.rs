//! The store by itself, on a clock that stands still until everybody waits.

use std::future::Ready;
use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{CallToolResult, ContentBlock, ErrorCode, TaskPayload, TaskStatus};
use rmcp::task_manager::TaskExit;
use shared::note::CallNote;
use shared::stop::Stop;
use tasks_extension::store::{Limits, Store, TaskHandle};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

const TTL: Duration = Duration::from_secs(300);
/// More than rounding to the timer's next millisecond can take.
const MOMENT: Duration = Duration::from_millis(5);

fn store(tasks: usize) -> Store {
    stopped_by(Stop::default(), tasks)
}

/// A store of a server that this stops.
fn stopped_by(stop: Stop, tasks: usize) -> Store {
    Store::new(Limits { tasks, ttl: TTL }, Duration::from_secs(1), stop)
}

type Outcome = Result<CallToolResult, TaskExit>;

fn result(text: &str) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

/// Work that ends when it is told to, and no sooner.
async fn obedient(task: TaskHandle) -> Outcome {
    task.stop().cancelled().await;
    Err(TaskExit::Cancelled)
}

/// Starts work, and returns the id of its task.
fn start<F>(store: &Store, work: impl FnOnce(TaskHandle) -> F + Send + 'static) -> String
where
    F: Future<Output = Outcome> + Send + 'static,
{
    store.start(CallNote::default(), work).unwrap().task_id
}

fn status(store: &Store, id: &str) -> TaskStatus {
    store.get(id).unwrap().status()
}

fn is_forgotten(store: &Store, id: &str) -> bool {
    store.get(id).is_err_and(|error| error.code == ErrorCode::INVALID_PARAMS)
}

fn error_of(store: &Store, id: &str) -> String {
    let TaskPayload::Failed { error } = store.get(id).unwrap().payload else {
        panic!("not failed: {:?}", store.get(id))
    };
    error["message"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_task_is_there_before_its_id_is() {
    let store = store(1);
    let task = store.start(CallNote::default(), obedient).unwrap();
    assert_eq!(store.get(&task.task_id).unwrap().task, task);
    assert_eq!((task.ttl_ms, task.poll_interval_ms), (Some(300_000), Some(1000)));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_is_heard_at_once_and_ends_the_task_when_the_work_has_stopped() {
    let store = store(1);
    let (cleaned_up, clean_up) = oneshot::channel();
    let id = start(&store, |task| async move {
        task.stop().cancelled().await;
        clean_up.await.unwrap();
        Err(TaskExit::Cancelled)
    });
    store.cancel(&id).unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(status(&store, &id), TaskStatus::Working);
    cleaned_up.send(()).unwrap();
    sleep(MOMENT).await;
    assert_eq!(status(&store, &id), TaskStatus::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn work_that_finishes_despite_the_cancel_is_completed() {
    let store = store(1);
    let id = start(&store, |task| async move {
        task.stop().cancelled().await;
        Ok(result("done"))
    });
    store.cancel(&id).unwrap();
    sleep(MOMENT).await;
    assert_eq!(status(&store, &id), TaskStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn an_end_is_final() {
    let store = store(1);
    let (handle_sent, handle) = oneshot::channel();
    let id = start(&store, |task| async move {
        assert!(handle_sent.send(task).is_ok());
        Ok(result("done"))
    });
    let handle = handle.await.unwrap();
    sleep(MOMENT).await;
    let ended = store.get(&id).unwrap();
    store.cancel(&id).unwrap();
    handle.say("one more thing".to_owned());
    sleep(MOMENT).await;
    assert_eq!(store.get(&id).unwrap(), ended);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_end() {
    let store = store(1);
    let id = start(&store, |_| async { std::panic::resume_unwind(Box::new("a test")) });
    sleep(MOMENT).await;
    assert_eq!(error_of(&store, &id), "the tool panicked");
}

/// A function may panic before it returns its future.
#[tokio::test(start_paused = true)]
async fn a_panic_before_the_first_await_is_an_end_too() {
    let store = store(1);
    let id = start(&store, |_| -> Ready<Outcome> { std::panic::resume_unwind(Box::new("a test")) });
    sleep(MOMENT).await;
    assert_eq!(error_of(&store, &id), "the tool panicked");
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_protocol_fails_the_task_and_an_error_of_the_tool_completes_it() {
    let store = store(2);
    let wrong = start(&store, |_| async {
        Err(TaskExit::Error(ErrorData::internal_error("no disk", None)))
    });
    let said =
        start(&store, |_| async { Ok(CallToolResult::error(vec![ContentBlock::text("no")])) });
    sleep(MOMENT).await;
    assert_eq!(error_of(&store, &wrong), "no disk");
    assert_eq!(store.get(&wrong).unwrap().task.status_message.as_deref(), Some("no disk"));
    let TaskPayload::Completed { result } = store.get(&said).unwrap().payload else { panic!() };
    assert_eq!(result["isError"], true);
}

#[tokio::test(start_paused = true)]
async fn an_end_is_remembered_for_the_ttl_and_takes_up_room_so_long() {
    let store = store(2);
    let id = start(&store, |_| async { Ok(result("done")) });
    start(&store, obedient);
    sleep(TTL.saturating_sub(MOMENT)).await;
    assert_eq!(status(&store, &id), TaskStatus::Completed);
    let full = store.start(CallNote::default(), obedient).unwrap_err();
    assert!(full.contains("busy: the server keeps 2 tasks"), "{full}");
    assert!(full.contains("forgotten 300s after its end"), "{full}");
    sleep(2 * MOMENT).await;
    assert!(is_forgotten(&store, &id));
    store.start(CallNote::default(), obedient).unwrap();
}

#[tokio::test(start_paused = true)]
async fn overdue_work_is_told_to_stop_and_its_end_is_remembered_too() {
    let store = store(1);
    let (stopped_after, after) = oneshot::channel();
    let started = Instant::now();
    let id = start(&store, move |task| async move {
        let ended = obedient(task).await;
        stopped_after.send(started.elapsed()).unwrap();
        ended
    });
    sleep(TTL.saturating_sub(MOMENT)).await;
    assert_eq!(status(&store, &id), TaskStatus::Working);
    sleep(2 * MOMENT).await;
    assert_eq!(error_of(&store, &id), "expired: not done within 300s");
    let after = after.await.unwrap();
    assert!(after >= TTL && after < TTL + MOMENT, "stopped after {after:?}");
    sleep(TTL.saturating_sub(3 * MOMENT)).await;
    assert_eq!(status(&store, &id), TaskStatus::Failed);
    sleep(3 * MOMENT).await;
    assert!(is_forgotten(&store, &id));
}

#[tokio::test(start_paused = true)]
async fn overdue_work_that_does_not_stop_takes_up_room_until_it_has() {
    let store = store(1);
    let id = start(&store, |_| async {
        sleep(10 * TTL).await;
        Ok(result("too late"))
    });
    sleep((10 * TTL).saturating_sub(MOMENT)).await;
    assert_eq!(error_of(&store, &id), "expired: not done within 300s");
    assert!(store.start(CallNote::default(), obedient).is_err());
    sleep(2 * MOMENT).await;
    assert_eq!(status(&store, &id), TaskStatus::Failed);
    sleep(TTL).await;
    assert!(is_forgotten(&store, &id));
    store.start(CallNote::default(), obedient).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_nobody_looks_at_empties_itself() {
    let store = store(1000);
    let ids: Vec<_> = (0..1000).map(|_| start(&store, obedient)).collect();
    assert!(store.start(CallNote::default(), obedient).is_err());
    sleep(2 * TTL + MOMENT).await;
    assert!(ids.iter().all(|id| is_forgotten(&store, id)));
}

#[tokio::test(start_paused = true)]
async fn when_the_server_stops_all_work_is_told() {
    let stop = Stop::default();
    let store = stopped_by(stop.clone(), 2);
    let ids = [start(&store, obedient), start(&store, obedient)];
    stop.now();
    sleep(MOMENT).await;
    assert!(ids.iter().all(|id| status(&store, id) == TaskStatus::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn tasks_are_counted_by_their_state() {
    let store = store(10);
    let counts = |store: &Store| {
        let counts = store.by_state();
        ["working", "completed", "cancelled", "failed"].map(|state| counts[state])
    };
    assert_eq!(counts(&store), [0; 4]);
    let ids = [(); 6].map(|()| start(&store, obedient));
    start(&store, |_| async { Ok(result("done")) });
    start(&store, |_| async { Err(TaskExit::Error(ErrorData::internal_error("no", None))) });
    ids[..3].iter().for_each(|id| store.cancel(id).unwrap());
    sleep(MOMENT).await;
    assert_eq!(counts(&store), [3, 1, 3, 1]);
}

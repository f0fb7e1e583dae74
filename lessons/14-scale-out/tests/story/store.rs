//! Both stores keep the same rules.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::StreamExt;
use rmcp::model::RequestId;
use scale_out::memory::MemoryStore;
use scale_out::redis::RedisStore;
use scale_out::store::{Beat, Bell, CallName, End, Fate, GONE, Store};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

const LEASE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn in_memory() {
    keeps_the_rules(&MemoryStore::default()).await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn in_redis() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("test.sock");
    let engine = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--unixsocket"])
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let _engine = Killed(engine);
    let url = format!("unix://{}", socket.display());
    let opened = timeout(Duration::from_secs(10), async {
        loop {
            match RedisStore::open(&url, "test").await {
                Ok(store) => return store,
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    });
    keeps_the_rules(&opened.await.unwrap()).await;
}

/// A process that ends with its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn keeps_the_rules(store: &dyn Store) {
    sessions_and_cancels(store).await;
    tasks(store).await;
}

fn call(session: &str, id: RequestId) -> CallName {
    CallName { session: session.to_owned(), id }
}

async fn sessions_and_cancels(store: &dyn Store) {
    let mut bells = store.listen().await.unwrap();
    store.save_session("one", "its state").await.unwrap();
    assert_eq!(store.session("one").await.unwrap().as_deref(), Some("its state"));
    assert_eq!(store.session("two").await.unwrap(), None);

    let seven = call("one", RequestId::Number(7));
    assert_eq!(store.fate(&seven).await.unwrap(), Fate::Wanted);
    store.cancel(&seven, Some("why")).await.unwrap();
    let why = Some("why".to_owned());
    assert_eq!(store.fate(&seven).await.unwrap(), Fate::Cancelled(why.clone()));
    assert_eq!(next(&mut bells).await, Bell::Cancelled(seven, why));
    // The same digits as text, and the same id in another session.
    for other in [call("one", RequestId::String("7".into())), call("two", RequestId::Number(7))] {
        assert_eq!(store.fate(&other).await.unwrap(), Fate::Wanted, "{other:?}");
    }

    store.end_session("one").await.unwrap();
    assert_eq!(store.session("one").await.unwrap(), None);
    assert_eq!(next(&mut bells).await, Bell::Ended("one".to_owned()));
    let eight = call("one", RequestId::Number(8));
    assert_eq!(store.fate(&eight).await.unwrap(), Fate::SessionEnded);
}

async fn next(bells: &mut (impl futures::Stream<Item = Bell> + Unpin)) -> Bell {
    timeout(Duration::from_secs(10), bells.next()).await.expect("a bell").expect("no end")
}

async fn tasks(store: &dyn Store) {
    let result = json!({ "content": [] });
    // Nobody knows it.
    assert_eq!(store.task("none").await.unwrap(), None);
    assert!(!store.cancel_task("none").await.unwrap());
    assert_eq!(store.beat("none", "me", LEASE).await.unwrap(), Beat::Lost);

    // Its owner works, is told to stop, and writes the end. An end is final.
    store.start_task("a", "me", LEASE).await.unwrap();
    let mut bells = store.listen().await.unwrap();
    assert_eq!(store.beat("a", "me", LEASE).await.unwrap(), Beat::Renewed);
    assert_eq!(store.beat("a", "you", LEASE).await.unwrap(), Beat::Lost);
    assert!(store.cancel_task("a").await.unwrap());
    assert_eq!(next(&mut bells).await, Bell::Task("a".to_owned()));
    assert_eq!(store.beat("a", "me", LEASE).await.unwrap(), Beat::Cancelled);
    assert!(!store.settle("a", "you", End::Completed, &result).await.unwrap());
    assert!(store.settle("a", "me", End::Cancelled, &Value::Null).await.unwrap());
    assert!(!store.settle("a", "me", End::Completed, &result).await.unwrap());
    let ended = store.task("a").await.unwrap().unwrap();
    assert_eq!((ended.end, ended.payload, ended.refused), (Some(End::Cancelled), Value::Null, 2));
    assert!(store.cancel_task("a").await.unwrap(), "a cancel that comes too late is acknowledged");

    // It has a result.
    store.start_task("b", "me", LEASE).await.unwrap();
    assert!(store.settle("b", "me", End::Completed, &result).await.unwrap());
    let ended = store.task("b").await.unwrap().unwrap();
    assert_eq!((ended.end, ended.payload), (Some(End::Completed), result.clone()));

    // A lease that nobody renews: the reader ends the task, and the owner comes too late.
    store.start_task("c", "me", Duration::from_millis(1)).await.unwrap();
    sleep(Duration::from_millis(20)).await;
    let ended = store.task("c").await.unwrap().unwrap();
    assert_eq!((ended.end, &ended.payload["message"]), (Some(End::Failed), &json!(GONE)));
    assert_eq!(store.beat("c", "me", LEASE).await.unwrap(), Beat::Lost);
    assert!(!store.settle("c", "me", End::Completed, &result).await.unwrap());
    assert_eq!(store.task("c").await.unwrap().unwrap().end, Some(End::Failed));
}

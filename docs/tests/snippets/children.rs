//! What becomes of the tasks that a future has started, when that future is dropped.

use std::future::pending;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

type News = UnboundedSender<&'static str>;

/// Tells its news when it is dropped.
struct Dropped(News, &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.send(self.1).unwrap();
    }
}

async fn work(news: News, later: CancellationToken) {
    // 1. A bare task belongs to nobody. Dropping its handle changes nothing.
    let bare = news.clone();
    tokio::spawn(async move {
        later.cancelled().await;
        bare.send("bare task: ran to its end").unwrap();
    });

    // 2. A JoinSet aborts its tasks when it is dropped: they end at their next await.
    let mut tasks = JoinSet::new();
    let mine = Dropped(news.clone(), "JoinSet: aborted");
    tasks.spawn(async move {
        let _mine = mine;
        pending::<()>().await;
    });

    // 3. A DropGuard cancels its token when it is dropped: who listens may clean up first.
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    tokio::spawn(async move {
        stop.cancelled().await;
        tokio::task::yield_now().await; // it may await, for nobody has dropped it
        news.send("DropGuard: told, cleaned up").unwrap();
    });

    pending::<()>().await;
}

#[tokio::test]
async fn a_dropped_parent_leaves_bare_tasks_behind() {
    let (news, mut heard) = unbounded_channel();
    let later = CancellationToken::new();
    let mut parent = Box::pin(work(news, later.clone()));
    assert!(futures::poll!(&mut parent).is_pending());

    drop(parent);
    let mut ends = [heard.recv().await.unwrap(), heard.recv().await.unwrap()];
    ends.sort_unstable();
    assert_eq!(ends, ["DropGuard: told, cleaned up", "JoinSet: aborted"]);
    later.cancel();
    assert_eq!(heard.recv().await.unwrap(), "bare task: ran to its end");
}

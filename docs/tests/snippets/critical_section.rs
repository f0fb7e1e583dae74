//! A request that must not stop half-way: before and after the section it looks at its token, inside
//! it does not.

use tokio::sync::{Mutex, MutexGuard, mpsc};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Default, PartialEq)]
struct Books {
    debits: u32,
    credits: u32,
}

#[derive(Debug, PartialEq)]
struct Cancelled;

/// `stop` is the request's `ctx.ct`; `halfway` lets the test cancel where it matters.
async fn transfer(
    books: &Mutex<Books>,
    stop: &CancellationToken,
    halfway: &mpsc::Sender<()>,
) -> Result<(), Cancelled> {
    // Waiting for the books may be cut short: nothing has been written.
    let books = tokio::select! {
        biased;
        () = stop.cancelled() => return Err(Cancelled),
        books = books.lock() => books,
    };
    // From here to its end nothing looks at `stop`, so a cancel waits. Keep this part short.
    post(books, halfway).await;
    Ok(())
}

async fn post(mut books: MutexGuard<'_, Books>, halfway: &mpsc::Sender<()>) {
    books.debits += 1;
    halfway.send(()).await.unwrap(); // stands for an await of real work: a database, a network
    books.credits += 1;
}

#[tokio::test]
async fn a_cancel_halfway_comes_too_late() {
    let books = Mutex::new(Books::default());
    let stop = CancellationToken::new();
    let (halfway, mut at_work) = mpsc::channel(1);
    halfway.send(()).await.unwrap(); // the channel is full: `post` waits in the middle

    let (result, ()) = tokio::join!(transfer(&books, &stop, &halfway), async {
        stop.cancel();
        at_work.recv().await.unwrap(); // `post` goes on, although the call is cancelled
    });
    assert_eq!(result, Ok(()));
    assert_eq!(*books.lock().await, Books { debits: 1, credits: 1 });

    // The next call is cancelled before its section, and writes nothing.
    assert_eq!(transfer(&books, &stop, &halfway).await, Err(Cancelled));
    assert_eq!(*books.lock().await, Books { debits: 1, credits: 1 });
}

//! A `select!` drops the futures that lose. What a future has read by then is gone with it.

use std::future::ready;
use std::pin::pin;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

#[tokio::test]
async fn read_exact_in_a_branch_loses_half_a_frame() {
    let (mut writer, mut reader) = duplex(64);
    let mut frame = [0; 4];

    writer.write_all(b"on").await.unwrap();
    tokio::select! {
        biased;
        _ = reader.read_exact(&mut frame) => unreachable!("half a frame has arrived"),
        () = ready(()) => {} // another branch wins, and `read_exact` is dropped
    }
    writer.write_all(b"e.two.").await.unwrap();
    reader.read_exact(&mut frame).await.unwrap();
    assert_eq!(&frame, b"e.tw");
}

#[tokio::test]
async fn a_future_that_lives_on_loses_nothing() {
    let (mut writer, mut reader) = duplex(64);
    let mut frame = [0; 4];
    // Made once, outside the loop that holds the `select!`.
    let mut read = pin!(reader.read_exact(&mut frame));

    writer.write_all(b"on").await.unwrap();
    tokio::select! {
        biased;
        _ = &mut read => unreachable!("half a frame has arrived"),
        () = ready(()) => {} // another branch wins, and `read` waits for the next turn
    }
    writer.write_all(b"e.two.").await.unwrap();
    read.await.unwrap();
    assert_eq!(&frame, b"one.");
}

//! A server that cancels all day does not grow.
//!
//! Both numbers are this process's: client and server share it, so neither may leak. The
//! tests take turns, each on a runtime of its own that is gone before the next begins.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rmcp::model::ProtocolVersion;
use rmcp::service::PeerRequestOptions;
use shared::calls::{CallRecord, State};
use shared::client::{Client, tool_call};
use testing::hosted::common_server;
use testing::raw::{in_time, steps};
use tokio::runtime::{Handle, Runtime};
use tokio::time::sleep;

static TURN: Mutex<()> = Mutex::new(());

/// A keep-alive connection or two may have been opened meanwhile, each with two tasks and
/// two descriptors. A leak of one per call would be ten times this, or a hundred times in CI.
const SLACK: usize = 10;

fn takes_no_more_after_many_cancels(protocol: ProtocolVersion) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Runtime::new().unwrap().block_on(async {
        let server = common_server(1).await;
        let client = Client::http(&server.url, protocol).await.unwrap();
        start_and_cancel(&client, 10).await;
        let before = taken();
        start_and_cancel(&client, testing::soak(1000).len()).await;
        let settled = async {
            while taken().into_iter().zip(before).any(|(now, before)| now > before + SLACK) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let settled = tokio::time::timeout(testing::raw::DEADLINE, settled).await;
        assert!(settled.is_ok(), "[tasks, descriptors]: {before:?} became {:?}", taken());
    });
}

/// Starts and cancels so many calls, each at work when it is cancelled.
async fn start_and_cancel(client: &Client, calls: usize) {
    let mut progress = client.progress();
    for _ in 0..calls {
        let call = tool_call("process_large_file", steps(3000));
        let options = PeerRequestOptions::no_options();
        let handle = in_time("a call", client.send_cancellable_request(call, options));
        let handle = handle.await.unwrap();
        progress.next_of(&handle.progress_token).await.unwrap();
        handle.cancel(Some("a test".to_owned())).await.unwrap();
    }
    let all_cancelled = async {
        let cancelled = |call: &CallRecord| call.state == State::Cancelled;
        while !client.list_calls().await.unwrap().iter().all(cancelled) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    in_time("the end of all calls", all_cancelled).await;
}

/// Tasks alive, and descriptors open.
fn taken() -> [usize; 2] {
    #[cfg(target_os = "linux")]
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    #[cfg(not(target_os = "linux"))]
    let descriptors = 0;
    [Handle::current().metrics().num_alive_tasks(), descriptors]
}

#[test]
fn many_cancels_on_2025_11_25_leave_nothing_behind() {
    takes_no_more_after_many_cancels(ProtocolVersion::V_2025_11_25);
}

#[test]
fn many_cancels_on_2026_07_28_leave_nothing_behind() {
    takes_no_more_after_many_cancels(ProtocolVersion::V_2026_07_28);
}

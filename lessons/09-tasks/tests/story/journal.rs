//! The journal: all of a posting or none of it, whatever happens in the middle.

use std::process::Command;
use std::time::Duration;

use course::lesson::Protocol::V2026;
use hosting::between::Between;
use hosting::layer::Server;
use serde_json::{Value, json};
use shared::calls::State;
use shared::server::Setup;
use tasks::journal::Journal;
use tasks::tools::TaskServer;
use tasks_extension::store::Limits;
use testing::hosted::{Hosted, setup};
use testing::process::Process;
use testing::raw::{RawClient, in_time};
use testing::story::paused;
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::server::{call, declared, ended, id_of};

const TICK: Duration = Duration::from_secs(1);

/// Posts three rows, with pauses in which the other may do as it likes.
async fn post(journal: Journal, row: &str) {
    let mut posting = journal.begin().await.unwrap();
    for _ in 0..3 {
        posting = posting.append(vec![row.to_owned()]).await.unwrap();
        sleep(TICK).await;
    }
    posting.commit().await.unwrap();
}

async fn rows(journal: &Journal) -> String {
    journal.read().await.unwrap().concat()
}

#[test]
fn two_postings_do_not_mix() {
    paused(async {
        let journal = Journal::new().unwrap();
        tokio::join!(post(journal.clone(), "a"), post(journal.clone(), "b"));
        assert_eq!(rows(&journal).await, "aaabbb");
    });
}

#[test]
fn a_posting_that_is_given_up_leaves_nothing() {
    paused(async {
        let journal = Journal::new().unwrap();
        post(journal.clone(), "a").await;
        let posting = journal
            .begin()
            .await
            .unwrap()
            .append(vec!["a longer row of b".to_owned()])
            .await
            .unwrap();
        assert_eq!(rows(&journal).await, "aaa");
        drop(posting);
        post(journal.clone(), "c").await;
        assert_eq!(rows(&journal).await, "aaaccc");
    });
}

#[test]
fn a_posting_whose_task_panics_leaves_nothing() {
    paused(async {
        let journal = Journal::new().unwrap();
        let begun = journal.begin().await.unwrap().append(vec!["a".to_owned()]).await.unwrap();
        let panicked = tokio::spawn(async move {
            let _begun = begun;
            yield_now().await;
            std::panic::resume_unwind(Box::new("a test"))
        });
        assert!(panicked.await.is_err());
        post(journal.clone(), "b").await;
        assert_eq!(rows(&journal).await, "bbb");
    });
}

/// The pauses of this posting would take nearly an hour. The stop does not cut it: it waits, and
/// the posting hurries.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_of_the_server_waits_for_a_posting() {
    let setup = Setup { tick: Duration::from_secs(300), ..setup(0) };
    let (stop, calls) = (setup.stop.clone(), setup.calls.clone());
    let server = TaskServer::new(setup, Limits::default()).unwrap();
    let journal = server.journal().clone();
    let hosted = Hosted::host(Server::new(server), stop.clone(), Between::default()).await;
    let wire = RawClient::open_as(declared(), &hosted.url, V2026).await;
    let posting =
        wire.ask("tools/call", call("post_to_journal", &json!({ "filename": "part_0.csv" })));
    let posting = id_of(&posting.await);
    let begun = async {
        while wire.ask("tasks/get", json!({ "taskId": posting })).await["result"]["statusMessage"]
            == Value::Null
        {
            sleep(Duration::from_millis(10)).await;
        }
    };
    in_time("the first rows", begun).await;
    stop.now();
    in_time("the end of the server", hosted.hosting).await.unwrap().unwrap();
    assert_eq!(journal.read().await.unwrap().len(), 1000);
    assert_eq!(calls.list().calls[0].state, State::Finished);
}

/// What a stopped server worked on has stopped when the server has.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_works_on_nothing() {
    let setup = setup(50);
    let (stop, calls) = (setup.stop.clone(), setup.calls.clone());
    let server = Server::new(TaskServer::new(setup, Limits::default()).unwrap());
    let hosted = Hosted::host(server, stop.clone(), Between::default()).await;
    let wire = RawClient::open_as(declared(), &hosted.url, V2026).await;
    let work = json!({ "filename": "part_0.csv", "processing_time": 3600 });
    for _ in 0..3 {
        id_of(&wire.ask("tools/call", call("process_large_file", &work)).await);
    }
    stop.now();
    in_time("the end of the server", hosted.hosting).await.unwrap().unwrap();
    let states: Vec<_> = calls.list().calls.iter().map(|call| call.state).collect();
    assert_eq!(states, [State::Cancelled; 3]);
}

/// A real full disk, for this process: no file may be larger than 64 KiB. The first posting does not
/// fit, the second does.
#[tokio::test(flavor = "multi_thread")]
async fn a_posting_that_does_not_fit_leaves_nothing() {
    let data = tempfile::tempdir().unwrap();
    let rows = |count: usize| format!("name\n{}", "a row of twenty byte\n".repeat(count));
    std::fs::write(data.path().join("large.csv"), rows(10_000)).unwrap();
    // An empty row is a row too, the last of a share as well.
    std::fs::write(data.path().join("small.csv"), rows(20) + "\n").unwrap();
    let mut limited = Command::new("bash");
    // Without the trap the signal of the limit would end the process.
    let script = "trap '' XFSZ; ulimit -f 64
        exec \"$0\" serve --addr 127.0.0.1:0 --tick 50ms --data \"$1\"";
    limited.args(["-c", script, env!("CARGO_BIN_EXE_tasks")]).arg(data.path());
    let server = Process::at_a_url(limited);
    let wire = RawClient::open_as(declared(), &server.url, V2026).await;
    let mut outcomes = Vec::new();
    for file in ["large.csv", "small.csv"] {
        let posting = call("post_to_journal", &json!({ "filename": file }));
        let end = ended(&wire, &id_of(&wire.ask("tools/call", posting).await)).await;
        let journal = wire.ask("tools/call", call("read_journal", &json!({}))).await;
        let rows = journal["result"]["structuredContent"]["rows"].clone();
        outcomes.push((end["result"]["isError"].clone(), rows));
        if file == "large.csv" {
            let why = end["result"]["content"][0]["text"].as_str().unwrap();
            assert!(why.contains("large.csv cannot be posted: disk I/O error"), "{why}");
        }
    }
    assert_eq!(outcomes, [(json!(true), json!(0)), (json!(false), json!(21))]);
}

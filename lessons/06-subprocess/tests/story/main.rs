//! The story passes wherever it can be told, and fails, by its own sentence, against servers
//! that are wrong on purpose. The system's own list of processes says what is left, not only
//! the server. A server that never tells its tools of a cancel is played by the README's second
//! command.

use course::lesson::{Lesson, Protocol};
use course::stage::Stage;
use hosting::layer::Server;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rmcp::model::{ClientCapabilities, ProtocolVersion};
use serde_json::{Value, json};
use shared::calls::State;
use shared::client::{Client, patient, tool_call, tool_result};
use shared::server::Setup;
use subprocess::LESSON;
use subprocess::group::{Group, adopt};
use subprocess::table::{Process, members};
use subprocess::tools::SortServer;
use testing::hosted::setup;
use testing::layers::Swap;
use tokio::process::Command;
use tokio::time::{Duration, sleep, timeout};

/// Ends waits that would never end.
const DEADLINE: Duration = Duration::from_secs(30);

testing::passes_on!("subprocess", "", http_2026 stdio_2025 stdio_2026);
testing::readme_shows_real_output!("subprocess", Some("100ms"));

// The check of the exercise is right about the stub, a solution and wrong answers.
testing::judges!(subprocess::run:
    blocks cares_for_the_cancel_only cares_for_the_end_only kills_all kills_the_child no_output panics);

fn sorter(setup: Setup) -> Server {
    Server::new(SortServer::new(setup))
}

/// A server and its clients in this process.
fn stage(server: fn(Setup) -> anyhow::Result<Server>) -> Stage {
    let lesson = Lesson { server, ..LESSON };
    Stage::in_process(lesson.server, setup(0), Protocol::V2026, None).unwrap()
}

async fn ends_with(stage: Stage, sentence: &str) {
    let ending = format!("{:#}", subprocess::cancelled(&stage).await.unwrap_err());
    assert!(ending.contains(sentence), "not {sentence:?}, but: {ending}");
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_grandchildren_that_are_not_killed() {
    let stage = stage(|setup| Ok(sorter(setup).with(Swap("spawns", "spawns_carelessly"))));
    ends_with(stage, "spawns has stopped, and leaves").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_careless_tool_that_leaves_nothing() {
    let stage = stage(|setup| Ok(sorter(setup).with(Swap("spawns_carelessly", "spawns"))));
    ends_with(stage, "spawns_carelessly left nothing behind").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_sweep_that_leaves_something() {
    let stage = stage(|setup| Ok(sorter(setup).with(Swap("sweep", "list_calls"))));
    ends_with(stage, "sweep leaves").await;
}

/// The group of the only call that runs, as soon as it has more than its leader.
async fn busy_group(client: &Client) -> Pid {
    let found = async {
        loop {
            let content = client.call("processes", Value::Null).await.unwrap().structured_content;
            let listed = content.unwrap();
            let listed = listed["processes"].as_array().unwrap();
            if listed.len() > 1 {
                return Pid::from_raw(listed[0]["group"].as_i64().unwrap().try_into().unwrap());
            }
        }
    };
    timeout(DEADLINE, found).await.unwrap()
}

/// Waits until the system lists processes of the group for which this holds.
async fn until(group: Pid, holds: impl Fn(&[Process]) -> bool) {
    let waiting = async {
        while !holds(&members(group).unwrap()) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = timeout(DEADLINE, waiting).await;
    waited.unwrap_or_else(|_| panic!("still {:?}", members(group)));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_round_after_round() {
    let client = stage(|setup| Ok(sorter(setup))).connect().await.unwrap();
    for round in testing::soak(40) {
        let call = tool_call("spawns", json!({ "passes": 1000 }));
        let handle = client.send_cancellable_request(call, patient()).await.unwrap();
        let group = busy_group(&client).await;
        // Cancelled at another moment each time: shells, pipes and sorts come and go.
        sleep(Duration::from_micros(777) * round).await;
        handle.cancel(None).await.unwrap();
        let calls = client.ask_until_all_ended().await.unwrap();
        let last = calls.last().unwrap();
        assert_eq!(last.state, State::Cancelled, "round {round}");
        assert_eq!(members(group).unwrap(), [], "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_finishes_leaves_nothing_either() {
    let client = stage(|setup| Ok(sorter(setup))).connect().await.unwrap();
    client.call("spawns", json!({ "passes": 1 })).await.unwrap();
    let left = client.call("processes", Value::Null).await.unwrap().structured_content.unwrap();
    assert_eq!(left["processes"], json!([]));
}

/// Not every end of the program is that of its work.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_somebody_kills_has_not_finished() {
    let client = stage(|setup| Ok(sorter(setup))).connect().await.unwrap();
    let handle = client.at_work("spawns", json!({ "passes": 1000 })).await.unwrap();
    killpg(busy_group(&client).await, Signal::SIGKILL).unwrap();
    let answer = timeout(DEADLINE, handle.await_response()).await.unwrap().unwrap();
    let error = tool_result(answer).unwrap_err().to_string();
    assert!(error.contains("the sorting ended after"), "{error}");
    assert_eq!(client.list_calls().await.unwrap()[0].state, State::Failed);
}

/// A leader may be gone before its group is told to end. `end` must not depend on it.
#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_ended_too() {
    adopt();
    let script = "sleep 600 & sleep 600 & exit 0";
    let mut group = Group::spawn(Command::new("sh").args(["-c", script])).unwrap();
    let id = *group.id().upgrade().unwrap();
    let asleep =
        |all: &[Process]| all.iter().filter(|process| process.name == "sleep").count() == 2;
    until(id, |all| asleep(all) && all.iter().any(|process| process.zombie)).await;
    timeout(DEADLINE, group.end()).await.unwrap().unwrap();
    assert_eq!(members(id).unwrap(), []);
}

/// `sweep` once killed by the number of a group that might have ended long ago. The number might
/// have been a stranger's by then. Now a zombie keeps the number until it is swept.
#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_a_group_stays_ours_until_it_is_swept() {
    let client = stage(|setup| Ok(sorter(setup))).connect().await.unwrap();
    let call = tool_call("spawns_carelessly", json!({ "passes": 1000 }));
    let handle = client.send_cancellable_request(call, patient()).await.unwrap();
    let id = busy_group(&client).await;
    handle.cancel(None).await.unwrap();
    client.ask_until_all_ended().await.unwrap();
    // All that was left behind ends by itself.
    killpg(id, Signal::SIGKILL).unwrap();
    until(id, |all| all.iter().all(|process| process.zombie)).await;
    assert!(members(id).unwrap().iter().any(|process| process.pid == id.as_raw()));

    client.call("sweep", Value::Null).await.unwrap();
    assert_eq!(members(id).unwrap(), []);
    let again = client.call("sweep", Value::Null).await.unwrap();
    assert!(format!("{again:?}").contains("groups swept: 0"), "{again:?}");
}

/// A process of the group that cannot be waited for: its parent lives, in another group, and
/// does not wait for it. `end` once tried for ever.
#[tokio::test(flavor = "multi_thread")]
async fn end_gives_up_on_what_does_not_end() {
    let mut group = Group::spawn(Command::new("sleep").arg("600")).unwrap();
    let id = *group.id().upgrade().unwrap();
    let stranger = format!("import os,time\nif os.fork():\n time.sleep(600)\nos.setpgid(0, {id})");
    let mut stranger = Command::new("python3")
        .args(["-c", &format!("{stranger}\ntime.sleep(600)")])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until(id, |all| all.len() == 2).await;
    let error = timeout(DEADLINE, group.end()).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), format!("group {id} does not end: 1 left"));
    stranger.kill().await.unwrap();
    timeout(DEADLINE, group.end()).await.unwrap().unwrap();
}

/// A client on stdio that closes the connection while a tool works. The server's input ends; if
/// it takes too long to end by itself, rmcp's client kills it. Either way nothing is left.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_outlives_a_connection_on_stdio() {
    adopt();
    let mut serve = Command::new(env!("CARGO_BIN_EXE_subprocess"));
    serve.args(["serve", "--transport", "stdio"]);
    let version = ProtocolVersion::V_2025_11_25;
    let client = Client::child_as(ClientCapabilities::default(), serve, version).await.unwrap();
    let call = tool_call("spawns", json!({ "passes": 1000 }));
    let _handle = client.send_cancellable_request(call, patient()).await.unwrap();
    let group = busy_group(&client).await;
    client.close().await.unwrap();
    until(group, |all| all.iter().all(|process| process.zombie)).await;
}

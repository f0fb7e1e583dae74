//! After a cancelled `spawns` nothing is left: no child, no grandchild, no zombie. The system's
//! own list of processes says so, not only the server's.
#![cfg(target_os = "linux")]

use std::process::Stdio;

use cooperative::group::{Group, adopt};
use rmcp::model::ProtocolVersion;
use serde_json::{Value, json};
use shared::calls::State;
use shared::client::{Client, patient, tool_call};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::{Duration, sleep, timeout};

/// The processes of this group, as `/proc/PID/stat` has them: "pid (name) state ppid pgrp ...".
fn members(group: i32) -> Vec<String> {
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let pgrp = |stat: &str| stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok();
    stats.filter(|stat| pgrp(stat) == Some(group)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_100_times_in_a_row() {
    let mut server = Command::new(env!("CARGO_BIN_EXE_cooperative"))
        .args(["serve", "--addr", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut printed = BufReader::new(server.stdout.take().unwrap()).lines();
    let first = printed.next_line().await.unwrap().unwrap();
    // Nobody reads on, so the pipe must not fill up: the lines go to nowhere.
    tokio::spawn(async move { while let Ok(Some(_)) = printed.next_line().await {} });
    let url = first.rsplit(' ').next().unwrap();
    for protocol in [ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2026_07_28] {
        let client = Client::http(url, protocol).await.unwrap();
        for round in 0..50 {
            let call = tool_call("spawns", json!({ "passes": 1000 }));
            let handle = client.send_cancellable_request(call, patient()).await.unwrap();
            let group = timeout(Duration::from_secs(10), live_group(&client)).await.unwrap();
            // Cancelled at another moment each time: shells, pipes and sorts come and go.
            sleep(Duration::from_micros(777) * round).await;
            let id = handle.id.clone();
            handle.cancel(None).await.unwrap();
            let call = client.ask_by_id(&id).await.unwrap();
            assert_eq!(call.state, State::Cancelled, "round {round}");
            assert_eq!(members(group), [""; 0], "round {round}");
        }
    }
    server.kill().await.unwrap();
}

/// Waits until the server has a process group at work, with at least a child in it.
async fn live_group(client: &Client) -> i32 {
    loop {
        let left = client.call("leftovers", Value::Null).await.unwrap().structured_content.unwrap();
        if let Some(group) = left["live_groups"][0].as_i64() {
            let group = group.try_into().unwrap();
            if members(group).len() > 1 {
                return group;
            }
        }
    }
}

/// The same for a group whose leader is gone before it is told to end: `end` must not depend
/// on it.
#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_ended_too() {
    adopt();
    let script = "sleep 600 & sleep 600 & exit 0";
    let group = Group::spawn(Command::new("sh").args(["-c", script])).unwrap();
    let id = group.id.as_raw_nonzero().get();
    let all_asleep = async {
        while members(id).iter().filter(|stat| stat.contains("(sleep)")).count() < 2 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(10), all_asleep).await.unwrap();
    timeout(Duration::from_secs(10), group.end()).await.unwrap();
    assert_eq!(members(id), [""; 0]);
}

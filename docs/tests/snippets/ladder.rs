//! How a client ends a server on stdio: it closes the server's input, waits, asks with SIGTERM, waits,
//! and at last uses SIGKILL.
#![cfg(unix)]

use std::io;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

#[derive(Debug, PartialEq)]
enum End {
    /// It ended by itself when its input ended.
    InputClosed,
    Terminated,
    Killed,
}

/// Ends the server. `patience` is how long each of the two gentle steps may take.
async fn end(server: &mut Child, patience: [Duration; 2]) -> io::Result<End> {
    drop(server.stdin.take());
    if let Ok(ended) = timeout(patience[0], server.wait()).await {
        ended?;
        return Ok(End::InputClosed);
    }
    if let Some(id) = server.id().and_then(|id| id.try_into().ok()) {
        kill(Pid::from_raw(id), Signal::SIGTERM)?;
    }
    if let Ok(ended) = timeout(patience[1], server.wait()).await {
        ended?;
        return Ok(End::Terminated);
    }
    server.kill().await?; // SIGKILL, and waits for the end: no zombie stays
    Ok(End::Killed)
}

/// A shell that is at work: it has said so.
async fn start(script: &str) -> Child {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = shell.kill_on_drop(true).spawn().unwrap();
    child.stdout.as_mut().unwrap().read_u8().await.unwrap();
    child
}

#[tokio::test]
async fn each_server_gets_as_much_force_as_it_needs() {
    let (long, short) = (Duration::from_secs(30), Duration::from_millis(50));
    for (script, patience, ends) in [
        ("echo; exec cat", [long, long], End::InputClosed),
        ("echo; exec sleep 1000", [short, long], End::Terminated),
        ("trap '' TERM; echo; exec sleep 1000", [short, short], End::Killed),
    ] {
        let mut server = start(script).await;
        assert_eq!(end(&mut server, patience).await.unwrap(), ends, "{script}");
    }
}

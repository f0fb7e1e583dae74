//! The story passes everywhere, and fails, by its own sentence, against servers that are wrong on
//! purpose. The module `gone` looks at what a server does when its client is gone.

mod gone;

use std::time::Duration;

use course::lesson::Protocol;
use course::stage::{BRIEF_PATIENCE, Stage};
use testing::process::Process;
use testing::story::{HTTP_2025, HTTP_2026, Program, STDIO_2025, STDIO_2026};
use vanished::idle;
use wrong::Wrong;

const PROGRAM: &str = env!("CARGO_BIN_EXE_vanished");
const LESSON: Program = Program(PROGRAM);

testing::passes_on!("vanished", "--tick 50ms", stdio_2026);
testing::readme_shows_real_output!("vanished");

// The check of the exercise is right about the stub, a solution and wrong answers.
testing::judges!(vanished::kept_alive:
    blocks deaf hides_a_dead_client impatient panics silent waits_for_a_dead_client);

#[test]
fn a_chapter_plays_against_a_server_that_runs_already() {
    let server = Process::http(PROGRAM, "50ms");
    for way in [HTTP_2025, HTTP_2026] {
        LESSON.passes(&format!("{way} killed --url {}", server.url));
    }
}

#[test]
fn notices_a_server_that_works_on_for_nobody() {
    let sentence = "the server did not notice that its client is gone";
    LESSON.fails(HTTP_2026, "--tick 20ms killed --wrong deaf", sentence);
}

#[test]
fn notices_a_lost_connection_that_is_a_cancel_on_2025_11_25() {
    let sentence = "a lost connection is no cancel on HTTP 2025-11-25, but the call cancelled";
    LESSON.fails(HTTP_2025, "--tick 100ms killed --wrong hasty", sentence);
}

#[test]
fn notices_a_server_on_stdio_that_outlives_its_client() {
    let sentence = "the server did not notice that its client is gone: 20 steps later it works on";
    for way in [STDIO_2025, STDIO_2026] {
        LESSON.fails(way, "--tick 20ms killed --wrong lingering", sentence);
    }
}

/// Half a second after it is told, and the process waits for it.
#[test]
fn a_tool_may_clean_up_after_its_client_is_gone() {
    LESSON.play(&format!("{STDIO_2025} --tick 100ms killed --wrong sluggish")).success();
}

#[test]
fn idle_says_where_it_plays() {
    for way in [HTTP_2026, STDIO_2025] {
        LESSON.fails(way, "idle", "only HTTP 2025-11-25 has sessions: leave out --transport");
    }
    let url = "idle --url http://127.0.0.1:1/mcp";
    LESSON.fails(HTTP_2025, url, "this chapter hosts servers with impatient sessions");
}

#[test]
fn the_victim_is_not_on_the_menu() {
    let help = LESSON.play("--help").success();
    let help = String::from_utf8(help.get_output().stdout.clone()).unwrap();
    assert!(help.contains("killed") && !help.contains("victim"), "{help}");
}

/// How the chapter `idle` ends with sessions that are closed after a silence of `keep_alive_ms`.
async fn idle_with(wrong: Option<Wrong>, tick_ms: u64, keep_alive_ms: u64) -> String {
    let mut stage = Stage::over_http("", Protocol::V2025);
    (stage.tick, stage.wrong) = (Duration::from_millis(tick_ms), wrong);
    stage.patience = BRIEF_PATIENCE;
    let error =
        Box::pin(idle::idle(&stage, Duration::from_millis(keep_alive_ms))).await.unwrap_err();
    format!("{error:#}")
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_silent_call_that_survives_its_session() {
    let error = idle_with(Some(Wrong::Deaf), 50, 300).await;
    let sentence = "the closed session did not take its silent call with it: the call finished";
    assert!(error.contains(sentence), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_session_that_is_closed_between_two_steps() {
    let error = idle_with(None, 800, 400).await;
    assert!(error.contains("progress did not keep the session open: the call cancel"), "{error}");
}

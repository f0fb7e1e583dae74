//! The story passes on every way it names, and ends by its own sentence behind each bridge that
//! is wrong on purpose.

use std::thread;

use bridge::LESSON;
use course::lesson::{Lesson, Protocol};
use testing::story::{Program, ending};
use wrong::Wrong;

testing::passes_on!("mcp-bridge", "--tick 100ms", http_2026 stdio_2025 stdio_2026);

#[test]
fn readme_shows_real_output() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    testing::readme::shows_real_output(page, "bridge", env!("CARGO_BIN_EXE_mcp-bridge"), None);
}

/// How the story ends with one wrong bridge in the place of ours. Client, bridge and server share
/// one thread, and the clock is paused.
fn ends_with(chapter: &str, sentence: &str) {
    let chapter = LESSON.chapters.iter().find(|it| it.name == chapter).unwrap();
    let lesson = Lesson { story: chapter.story, ..LESSON };
    for protocol in [Protocol::V2025, Protocol::V2026] {
        let ending = ending(&lesson, protocol, None, 100);
        assert!(ending.contains(sentence), "{protocol}: not {sentence:?}, but: {ending}");
    }
}

#[test]
fn our_bridges_hold_in_memory_too() {
    for protocol in [Protocol::V2025, Protocol::V2026] {
        assert_eq!(ending(&LESSON, protocol, None, 100), "");
    }
}

#[test]
fn notices_new_ids() {
    ends_with("new-ids", "the server did not stop: finished, 10 of 10 steps");
}

#[test]
fn notices_a_bridge_that_answers_by_itself() {
    let sentence = "the caller was told that its call is cancelled, and the server worked on: \
                    finished, 10 of 10 steps";
    ends_with("own-answer", sentence);
}

#[test]
fn notices_a_process_for_each_request() {
    ends_with("processes", "the server did not stop: finished, 10 of 10 steps");
}

#[test]
fn notices_that_another_process_was_asked() {
    let program = Program(env!("CARGO_BIN_EXE_mcp-bridge"));
    let sentence = "the process that was asked does not list the call";
    program.fails("--transport stdio", "--tick 50ms processes", sentence);
}

#[test]
fn notices_a_typed_token_made_a_text() {
    // Nobody holds such a token, so the progress goes nowhere.
    ends_with("text-token", "the progress was lost: the call ended before");
}

#[test]
fn notices_lost_progress() {
    ends_with("lost-token", "the progress was lost: the call ended before");
}

#[test]
fn the_added_time_is_measured() {
    let program = Program(env!("CARGO_BIN_EXE_mcp-bridge"));
    let measured = |transport| {
        let played = program.play(&format!("--transport {transport} --tick 1s added-time"));
        let printed = played.success().get_output().stdout.clone();
        let printed = String::from_utf8(printed).unwrap();
        for way in ["no bridge   1.0 times", "relay", "translate"] {
            assert!(printed.contains(&format!("   {way}")), "{printed}");
        }
    };
    thread::scope(|scope| {
        for transport in ["http", "stdio"] {
            scope.spawn(move || measured(transport));
        }
    });
}

#[test]
fn notices_a_deaf_server_before_any_bridge() {
    let ending = ending(&LESSON, Protocol::V2025, Some(Wrong::Deaf), 100);
    assert!(ending.contains("the server did not stop: finished"), "{ending}");
}

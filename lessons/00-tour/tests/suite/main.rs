//! What concerns all lessons: the READMEs, and the tools.

mod builds;
mod inspector;
mod readme;
mod tools;

use std::process::Command;
use std::time::Duration;

use course::lesson::Lesson;
use testing::process::Process;

/// All lessons. The tour itself knows only those that it plays.
const LESSONS: [Lesson; 15] = [
    basic_cancel::LESSON,
    late_cancel::LESSON,
    concurrent_cancel::LESSON,
    cleanup::LESSON,
    cooperative::LESSON,
    subprocess::LESSON,
    timeouts::LESSON,
    vanished::LESSON,
    tasks::LESSON,
    on_the_wire::LESSON,
    propagate::LESSON,
    isolate::LESSON,
    operate::LESSON,
    scale_out::LESSON,
    bridge::LESSON,
];

/// It stops the tour, and not one lesson of it.
#[test]
fn ctrl_c_ends_the_tour() {
    let mut tour = Command::new(env!("CARGO_BIN_EXE_tour"));
    tour.args(["--tick", "1s"]);
    let mut tour = Process::start(tour);
    tour.line_with("basic-cancel: ");
    tour.signal("INT");
    let rest = tour.rest();
    assert!(!rest.iter().any(|line| line.contains("late-cancel: ")), "{rest:?}");
    assert_eq!(tour.ends_within(Duration::from_secs(30)).code(), Some(1));
}

//! What concerns all lessons: the READMEs, and the tools.

mod inspector;
mod readme;
mod tools;

use course::lesson::Lesson;

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

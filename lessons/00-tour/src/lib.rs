//! The list of the lessons. A test compares it with the folders and with README.md.

use shared::lesson::About;

/// The lessons, in the order in which they build on one another.
pub const LESSONS: [About; 8] = [
    basic_cancel::LESSON,
    late_cancel::LESSON,
    concurrent_cancel::LESSON,
    cleanup::LESSON,
    cooperative::LESSON,
    timeouts::LESSON,
    tasks::LESSON,
    on_the_wire::LESSON,
];

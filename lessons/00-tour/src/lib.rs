//! The list of the lessons. A test compares it with the folders and with README.md.

use course::lesson::Lesson;

/// The lessons, in the order in which they build on one another.
pub const LESSONS: [Lesson; 4] =
    [basic_cancel::LESSON, late_cancel::LESSON, concurrent_cancel::LESSON, cleanup::LESSON];

//! One program for all tests: most of their time is waiting, so they wait together.

mod counted;
#[cfg(unix)]
mod real;
mod slow;
mod story;
mod tool;

//! One program for all tests: most of their time is waiting, so they wait together. They start in
//! the order of their names: those of `chapters` wait longest.

mod chapters;
mod counted;
#[cfg(unix)]
mod real;
mod slow;
mod tool;

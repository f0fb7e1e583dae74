//! One program for all tests: most of their time is waiting, so they wait together. They start in
//! the order of their names: those of `bridges` and `chapters` wait longest.

#[cfg(unix)]
mod bridges;
mod chapters;
mod command;
mod counted;
mod slow;

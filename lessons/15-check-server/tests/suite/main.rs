//! One program for all tests: most of their time is waiting, so they wait together.

mod bench;
mod client;
#[cfg(target_os = "linux")]
mod foreign;
mod lessons;
mod matrix;
mod readme;
mod strange;
mod support;
#[cfg(target_os = "linux")]
mod survey;
mod tool;
mod tools;

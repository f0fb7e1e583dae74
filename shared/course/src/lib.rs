//! What makes a lesson a program.
//!
//! [`run`] reads the command line, hosts the lesson's server and plays its story on a [`stage`].
//! [`signals`] end both.
//! [`lesson`] says what a lesson is, [`exercise`] what an exercise is; [`narrate`] draws what a
//! person sees. [`port`] is for programs that a lesson starts.

mod cli;
pub mod exercise;
pub mod lesson;
mod log;
pub mod narrate;
pub mod port;
mod progress;
pub mod run;
pub mod signals;
pub mod stage;
mod way;

//! What makes a lesson a program.
//!
//! [`run`] reads the command line, hosts the lesson's server and plays its story on a [`stage`].
//! [`lesson`] says what a lesson is; [`narrate`] draws what a person sees.

mod cli;
pub mod lesson;
mod log;
pub mod narrate;
pub mod run;
pub mod stage;

//! What every lesson needs and none teaches.
//!
//! Data flows one way: [`run`] reads the command line, starts a server with [`hosting`]
//! and plays a [`lesson`], whose story gets a [`client`]. The common [`server`] works on
//! the files of [`dataset`] and writes down in [`calls`] what it ran and how that
//! ended. [`terminate`] and [`guard`] stand between a server and its clients;
//! [`narrate`] draws. [`wrong`] breaks a server on purpose, to prove that a
//! lesson would notice; [`wire`] is where it looks.

pub mod calls;
mod cli;
pub mod client;
pub mod dataset;
pub mod guard;
pub mod hosting;
pub mod lesson;
pub mod narrate;
pub mod run;
pub mod server;
pub mod sessions;
pub mod terminate;
pub mod wire;
pub mod wrong;

//! The common server and client code of all lessons.
//!
//! The server's side: a [`server`] works on the files of [`dataset`] and writes down in [`calls`]
//! what it ran and how that ended. [`layer`] makes one type of all servers, [`guard`] stands around
//! each, [`cancel`] and [`sessions`] watch over what is said about a cancelled call, and [`hosting`]
//! puts it on a transport. [`between`] is a seam for tests.
//!
//! The client's side: [`client`] connects and asks, [`arrivals`] notes what comes in.

pub mod arrivals;
pub mod between;
pub mod calls;
pub mod cancel;
pub mod client;
pub mod dataset;
pub mod guard;
pub mod hosting;
pub mod layer;
pub mod open_calls;
pub mod server;
pub mod sessions;

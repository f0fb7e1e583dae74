//! The common server and client code of all lessons.
//!
//! The server's side: a [`server`] works on the files of [`dataset`] and writes down in [`calls`]
//! what it ran and how that ended; a [`note`] says why, [`totals`] how often; [`stop`] ends the
//! server. The crate `hosting` puts it on a transport.
//!
//! The client's side: [`client`] connects and asks, [`arrivals`] notes what comes in, and [`in_order`]
//! keeps the order of what goes out.

pub mod arrivals;
pub mod calls;
pub mod client;
pub mod dataset;
pub mod in_order;
pub mod note;
pub mod server;
pub mod stop;
pub mod totals;

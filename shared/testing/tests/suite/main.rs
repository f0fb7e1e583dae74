//! The server as its clients see it, on the wire.

mod bad_input;
mod cancel;
mod panic_and_shutdown;
mod subscriptions;

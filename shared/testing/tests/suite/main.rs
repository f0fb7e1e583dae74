//! The server as its clients see it, on the wire.

mod bad_input;
mod calls;
mod cancel;
mod client;
mod files;
mod last_word;
mod panic_and_shutdown;
mod subscriptions;
mod task_store;

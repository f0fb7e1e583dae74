//! What stands between a server and its client.

mod cancel;
mod sessions;
mod stop;

//! The page of a server's calls.

mod browser;
mod http;
mod paged;

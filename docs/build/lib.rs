//! Builds and checks the book, and draws the picture in README.md.
//!
//! The pages are plain Markdown, and they have to read well on a code host too. So nothing in them is
//! made for mdBook: [`stage`] prepares them for it.

pub mod check;
pub mod markdown;
pub mod picture;
pub mod programs;
pub mod stage;

//! One line on stderr that is written over, for people only.

use std::io::{IsTerminal, Write, stderr};

/// Shows this in place of what was shown before.
pub fn show(what: &str) {
    if stderr().is_terminal() {
        // Nobody who reads it is no reason to stop.
        let _ = write!(stderr(), "\r\x1b[K{what}");
    }
}

/// Leaves no line behind.
pub fn clear() {
    show("");
}

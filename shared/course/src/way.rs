//! The ways between a client and a server: a transport and a revision of the protocol.

use std::fmt;

use clap::ValueEnum;
use rmcp::model::ProtocolVersion;

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// Streamable HTTP.
    Http,
    /// Standard input and output of a child process.
    Stdio,
}

/// A revision of the Model Context Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Sessions, opened by `initialize`; a cancel is always a notification.
    #[value(name = "2025-11-25")]
    V2025,
    /// No sessions; on HTTP, closing the response stream is the cancel.
    #[value(name = "2026-07-28")]
    V2026,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Stdio => "stdio",
        })
    }
}

impl Protocol {
    /// The revision as rmcp names it.
    pub fn version(self) -> ProtocolVersion {
        match self {
            Self::V2025 => ProtocolVersion::V_2025_11_25,
            Self::V2026 => ProtocolVersion::V_2026_07_28,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2025 => "2025-11-25",
            Self::V2026 => "2026-07-28",
        })
    }
}

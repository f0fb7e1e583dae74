//! A verdict on one behaviour, and what it rests on.

use crate::wire::log::Frame;

/// How a behaviour was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It does what is expected.
    Pass,
    /// The question does not arise here.
    NotApplicable,
    /// Nothing can be seen from outside.
    NotObservable,
    /// Left open by the specification; worth knowing.
    Remark,
    /// A SHOULD is not met.
    Warn,
    /// A MUST is violated, or the work runs on.
    Fail,
}

impl Verdict {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::NotApplicable => "not applicable",
            Self::NotObservable => "not observable",
            Self::Remark => "remark",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Finding {
    pub number: u32,
    /// Transport and revision.
    pub lane: String,
    pub verdict: Verdict,
    /// One sentence: what was seen.
    pub seen: String,
    /// The caller was told "cancelled" while the work ran on.
    pub false_stop: bool,
    /// What passed on the wire.
    pub exchange: Vec<Frame>,
}

//! A small agent: it works through a plan, until its user stops it.

use rmcp::RoleClient;
use rmcp::service::Peer;
use serde_json::Value;
use shared::client::text_of;

use crate::caller::Caller;

/// One step of a plan.
pub struct Step {
    /// What the step is for.
    pub goal: &'static str,
    /// The tool that does it.
    pub tool: &'static str,
    /// What the tool is given.
    pub arguments: Value,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, with this answer.
    Done(String),
    /// It was stopped at work.
    Stopped,
    /// It never began.
    NotBegun,
}

/// Works through the plan. One token stops all of it: the step at work and those to come.
pub async fn run(
    plan: &[Step],
    server: &Peer<RoleClient>,
    user: &Caller,
) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for step in plan {
        // A cancel can come between two steps, when no call is open that would hear of it.
        let outcome = if user.stop.is_cancelled() {
            Outcome::NotBegun
        } else {
            match user.call(server, step.tool, step.arguments.clone()).await? {
                Some(result) => Outcome::Done(text_of(&result)),
                None => Outcome::Stopped,
            }
        };
        println!("   {:24} {}", step.goal, outcome.said());
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

impl Outcome {
    fn said(&self) -> &str {
        match self {
            Self::Done(answer) => answer,
            Self::Stopped => "stopped",
            Self::NotBegun => "not begun",
        }
    }
}

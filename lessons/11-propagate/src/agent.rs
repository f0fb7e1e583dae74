//! A small agent: it works through a plan, until its user stops it.

use rmcp::RoleClient;
use rmcp::service::Peer;
use serde_json::Value;
use shared::client::text_of;

use crate::caller::Caller;

/// One step of a plan: what it is for, the tool that does it, and what the tool is given.
pub type Step = (&'static str, &'static str, Value);

/// Works through the plan, and returns what became of each step. One token stops all of it: the
/// step at work and those to come.
pub async fn run(
    plan: [Step; 3],
    server: &Peer<RoleClient>,
    user: &Caller,
) -> anyhow::Result<Vec<String>> {
    let mut outcomes = Vec::new();
    for (goal, tool, arguments) in plan {
        // A cancel can come between two steps, when no call is open that would hear of it.
        let outcome = if user.stop.is_cancelled() {
            "not begun".to_owned()
        } else {
            let answer = user.call(server, tool, arguments).await?;
            answer.map_or("stopped".to_owned(), |result| text_of(&result))
        };
        println!("   {goal:24} {outcome}");
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

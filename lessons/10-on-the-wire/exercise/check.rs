//! The check of the exercise: the learner's client, over real HTTP, against the healthy server and
//! two that are wrong.

use std::time::Duration;

use anyhow::ensure;
use course::exercise::proof::Table;
use course::exercise::tool::setup;
use course::exercise::{Clock, Exercise};
use course::stage::Wrong;
use hosting::layer::Server;
use hosting::{Door, Site, host};
use shared::calls::State;
use shared::client::{PATIENCE, Patience};
use shared::server::FileServer;
use tokio::net::TcpListener;

use crate::wire::Wire;

/// The exercise of this lesson.
pub const EXERCISE: Exercise = Exercise {
    stub: include_str!("stub.rs"),
    solution: include_str!("solution.rs"),
    file: concat!(env!("CARGO_MANIFEST_DIR"), "/src/exercise.rs"),
    clock: Clock::Real,
    check: || Box::pin(check(crate::exercise::prove)),
};

/// How long a step of the server's work takes.
const TICK: Duration = Duration::from_millis(20);

/// Plays an answer.
pub async fn check<F>(prove: F) -> anyhow::Result<String>
where
    F: AsyncFn(&Wire) -> anyhow::Result<()>,
{
    println!("\n   a healthy server");
    let mut table = Table::healthy(play(&prove, None).await?)?;
    for (name, flaw) in [("works on", Wrong::Deaf), ("answers all the same", Wrong::Insistent)] {
        println!("\n   a server that {name}");
        table.wrong(name, play(&prove, Some(flaw)).await?);
    }
    table.complete()?;
    Ok("you can cancel without an SDK, and tell whether that was obeyed".to_owned())
}

async fn play<F>(prove: &F, wrong: Option<Wrong>) -> anyhow::Result<anyhow::Result<()>>
where
    F: AsyncFn(&Wire) -> anyhow::Result<()>,
{
    let setup = setup(TICK)?;
    let (calls, stop) = (setup.calls.clone(), setup.stop.clone());
    let (server, between) = Wrong::apply(wrong, Server::new(FileServer::new(setup)));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    let site = Site { between, ..Site::new(Door::Http(listener), stop.clone()) };
    let hosting = tokio::spawn(host(server, site));
    let mut wire = Wire::new(&url);
    crate::open(&mut wire).await?;

    let proved = prove(&wire).await;
    if wrong.is_none() && proved.is_ok() {
        // A proof may be content with less than this. But it must have cancelled something.
        let cancelled = || {
            let calls = calls.list().calls;
            calls.iter().any(|call| call.state == State::Cancelled && call.steps_done > 0)
        };
        let mut patience = Patience::of(PATIENCE / 5);
        while !cancelled() && patience.lasts().await {}
        ensure!(
            cancelled(),
            "your proof passes, and the server has no cancelled call that was at work\n\
             on 2025-11-25 the cancel is a message of its own: notifications/cancelled, with the \
             requestId of the call, as it was sent: 7 is not \"7\""
        );
    }
    stop.now();
    hosting.await??;
    Ok(proved)
}

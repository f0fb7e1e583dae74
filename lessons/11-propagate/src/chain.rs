//! How the story looks at the chain: it asks the database process (through our server, by the
//! tool `look`) and the service (which runs in the story's own process).

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use shared::client::{Client, PATIENCE};
use tokio::time::{Instant, sleep};

use crate::FOREVER;
use crate::caller::{Caller, Note};
use crate::database::Status;
use crate::service::Service;

const ASK_EVERY: Duration = Duration::from_millis(2);
const WIDTH: usize = 24;
/// The hops, from the top to the bottom.
const HOPS: [&str; 4] = ["server", "query", "fetch", "service"];

/// The two ends of the chain.
pub struct Chain {
    /// The agent's connection to our server.
    pub client: Client,
    /// The service at the bottom.
    pub service: Service,
}

impl Chain {
    /// An address of the service.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.service.url)
    }

    /// What the database process says.
    pub async fn look(&self, trace: &str) -> anyhow::Result<Status> {
        let result = self.client.call("look", json!({ "trace": trace })).await?;
        Ok(serde_json::from_value(result.structured_content.unwrap_or_default())?)
    }

    /// Asks until this holds.
    pub async fn until(
        &self,
        what: &str,
        holds: impl Fn(&Status) -> bool,
    ) -> anyhow::Result<Status> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.look("").await?;
            if holds(&status) {
                return Ok(status);
            }
            ensure!(
                Instant::now() < deadline,
                "not within {PATIENCE:?}: {what}; the database process has {} queries and {} \
                 streams at work",
                status.queries,
                status.streams
            );
            sleep(ASK_EVERY).await;
        }
    }

    /// Asks until nothing is at work below our server.
    pub async fn until_quiet(&self) -> anyhow::Result<()> {
        self.until("all below has stopped", |at| at.queries + at.streams == 0).await?;
        let deadline = Instant::now() + PATIENCE;
        while self.service.open() > 0 {
            ensure!(Instant::now() < deadline, "the service still has a stream open");
            sleep(ASK_EVERY).await;
        }
        Ok(())
    }

    /// Starts a call that would take very long, stops it when it is at work at the bottom, and
    /// returns the moment of the cancel.
    pub async fn start_and_stop(
        &self,
        tool: &'static str,
        user: &Caller,
    ) -> anyhow::Result<DateTime<Utc>> {
        let url = self.url(&format!("lines/{FOREVER}"));
        let call = user.call(&self.client, tool, json!({ "rows": FOREVER, "url": url }));
        let stop = async {
            let at_work = |at: &Status| at.is_busy() && self.service.open() == 1;
            let seen = self.until("the call is at work at the bottom", at_work).await;
            let now = Utc::now();
            user.stop.cancel();
            seen.map(|_| now)
        };
        let (answer, stopped_at) = tokio::join!(call, stop);
        ensure!(answer?.is_none(), "the call ended before it could be cancelled");
        stopped_at
    }

    /// What all hops noted of this caller, when all of them have stopped.
    pub async fn notes(&self, user: &Caller) -> anyhow::Result<Vec<Note>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut notes = self.look(&user.trace).await?.notes;
            notes.extend(self.service.notes.of(&user.trace));
            let stopped = |hop: &&&str| last(&notes, hop, "stopped").is_some();
            let missing: Vec<_> = HOPS.iter().filter(|hop| !stopped(hop)).collect();
            if missing.is_empty() {
                return Ok(notes);
            }
            let trace = &user.trace;
            ensure!(Instant::now() < deadline, "{missing:?} noted no stop under trace {trace}");
            sleep(ASK_EVERY).await;
        }
    }
}

impl Status {
    /// A query and a stream are at work.
    pub fn is_busy(&self) -> bool {
        self.queries == 1 && self.streams == 1 && self.rows_read > 0
    }
}

/// The last event of this kind. (A plan runs several calls under one trace.)
fn last(notes: &[Note], hop: &str, event: &str) -> Option<DateTime<Utc>> {
    let events = notes.iter().filter(|note| note.hop == hop && note.event == event);
    events.map(|note| note.at).max()
}

/// The chain's timeline: from the cancel to the last stop, one row for each hop.
pub fn picture(notes: &[Note], cancelled_at: DateTime<Utc>) -> anyhow::Result<String> {
    let ms = |delta: TimeDelta| delta.as_seconds_f64() * 1e3;
    let end = notes.iter().map(|note| note.at).max().context("no hop noted anything")?;
    let width = ms(end - cancelled_at).max(0.1) / WIDTH as f64;
    let cell = |after: f64| (1..WIDTH).filter(|cell| after >= width * *cell as f64).count();
    let mut rows = format!("   {:9}{:WIDTH$}   heard after   stopped after\n", "hop", "");
    for hop in HOPS {
        let stopped = last(notes, hop, "stopped").context("the hop noted no stop")?;
        let stopped = ms(stopped - cancelled_at);
        // The service is told by a closed connection, and has nothing to stop but the stream.
        let heard = last(notes, hop, "heard").map(|at| ms(at - cancelled_at));
        let mut bar = vec!['░'; WIDTH];
        bar[cell(heard.unwrap_or(stopped))..=cell(stopped)].fill('█');
        bar[cell(stopped)] = '■';
        let bar: String = bar.into_iter().collect();
        let heard = heard.map_or("-".to_owned(), |heard| format!("{heard:.1} ms"));
        writeln!(rows, "   {hop:9}{bar} {heard:>13} {stopped:>12.1} ms")?;
    }
    Ok(rows)
}

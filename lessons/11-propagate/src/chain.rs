//! How the story looks at the chain: it asks the database process (through our server, by the
//! tool `look`) and the service (which runs in the story's own process).

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use course::stage::Stage;
use serde_json::json;
use shared::client::{Client, PATIENCE, Patience};

use crate::FOREVER;
use crate::caller::{Caller, Note};
use crate::database::Status;
use crate::service::Service;

const WIDTH: usize = 24;
/// The hops, from the top to the bottom.
const HOPS: [&str; 4] = ["server", "query", "fetch", "service"];

/// The two ends of the chain.
pub struct Chain {
    /// The agent's connection to our server.
    pub client: Client,
    /// The service at the bottom.
    pub service: Service,
    patience: Duration,
}

impl Chain {
    /// A service, and a connection to our server, which starts the database process.
    pub async fn of(stage: &Stage) -> anyhow::Result<Self> {
        let service = Service::start(stage.tick / 10).await?;
        Ok(Self { client: stage.connect().await?, service, patience: stage.patience })
    }

    /// An address of the service.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.service.url)
    }

    /// What the database process says, and what all hops noted under this trace.
    pub async fn look(&self, trace: &str) -> anyhow::Result<Status> {
        let result = self.client.call("look", json!({ "trace": trace })).await?;
        let mut status: Status =
            serde_json::from_value(result.structured_content.unwrap_or_default())?;
        status.notes.extend(self.service.notes.of(trace));
        Ok(status)
    }

    /// Asks until this holds.
    pub async fn until(
        &self,
        what: &str,
        holds: impl Fn(&Status) -> bool,
    ) -> anyhow::Result<Status> {
        self.until_within(self.patience, "", what, holds).await
    }

    /// The same for work that begins, which no wrong server changes: it gets its time in any case.
    pub async fn until_at_work(
        &self,
        what: &str,
        holds: impl Fn(&Status) -> bool,
    ) -> anyhow::Result<Status> {
        self.until_within(PATIENCE, "", what, holds).await
    }

    async fn until_within(
        &self,
        patience: Duration,
        trace: &str,
        what: &str,
        holds: impl Fn(&Status) -> bool,
    ) -> anyhow::Result<Status> {
        let mut lasting = Patience::of(patience);
        loop {
            let status = self.look(trace).await?;
            if holds(&status) {
                return Ok(status);
            }
            ensure!(
                lasting.lasts().await,
                "not within {patience:?}: {what}; the database process has {} queries and {} \
                 streams at work, the service has {} open",
                status.queries,
                status.streams,
                self.service.open()
            );
        }
    }

    /// Asks until nothing is at work below our server.
    pub async fn until_quiet(&self) -> anyhow::Result<()> {
        let quiet = |at: &Status| at.queries + at.streams + self.service.open() == 0;
        self.until("all below has stopped", quiet).await.map(drop)
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
            let seen = self.until_at_work("the call is at work at the bottom", at_work).await;
            let now = Utc::now();
            user.stop.cancel();
            seen.map(|_| now)
        };
        let (answer, stopped_at) = tokio::join!(call, stop);
        ensure!(answer?.is_none(), "the call ended before it could be cancelled");
        stopped_at
    }

    /// What all hops noted of this caller, when all of them have stopped after this moment.
    pub async fn notes(
        &self,
        user: &Caller,
        cancelled_at: DateTime<Utc>,
    ) -> anyhow::Result<Vec<Note>> {
        let stop = |at: &Status, hop| last(&at.notes, hop, "stopped", cancelled_at);
        let stopped = |at: &Status| HOPS.iter().all(|hop| stop(at, hop).is_some());
        let what = format!("each hop notes its stop under trace {}", user.trace);
        Ok(self.until_within(self.patience, &user.trace, &what, stopped).await?.notes)
    }
}

impl Status {
    /// A query and a stream are at work.
    pub fn is_busy(&self) -> bool {
        self.queries == 1 && self.streams == 1 && self.rows_read > 0
    }
}

/// The last event of this kind from this moment on. (A plan runs several calls under one trace.)
fn last(notes: &[Note], hop: &str, event: &str, since: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let events = notes.iter().filter(|note| note.hop == hop && note.event == event);
    events.map(|note| note.at).filter(|at| *at >= since).max()
}

/// The chain's timeline: from the cancel to the last stop, one row for each hop.
pub fn picture(notes: &[Note], cancelled_at: DateTime<Utc>) -> anyhow::Result<String> {
    let ms = |delta: TimeDelta| delta.as_seconds_f64() * 1e3;
    let end = notes.iter().map(|note| note.at).max().context("no hop noted anything")?;
    let width = ms(end - cancelled_at).max(0.1) / WIDTH as f64;
    let cell = |after: f64| (1..WIDTH).filter(|cell| after >= width * *cell as f64).count();
    let mut rows = format!("   {:9}{:WIDTH$}   heard after   stopped after\n", "hop", "");
    for hop in HOPS {
        let stopped = last(notes, hop, "stopped", cancelled_at);
        let stopped = stopped.with_context(|| format!("{hop} noted no stop"))?;
        let stopped = ms(stopped - cancelled_at);
        // The service is told by a closed connection, and has nothing to stop but the stream.
        let heard = last(notes, hop, "heard", cancelled_at).map(|at| ms(at - cancelled_at));
        let mut bar = vec!['░'; WIDTH];
        bar[cell(heard.unwrap_or(stopped))..=cell(stopped)].fill('█');
        bar[cell(stopped)] = '■';
        let bar: String = bar.into_iter().collect();
        let heard = heard.map_or("-".to_owned(), |heard| format!("{heard:.1} ms"));
        writeln!(rows, "   {hop:9}{bar} {heard:>13} {stopped:>12.1} ms")?;
    }
    Ok(rows)
}

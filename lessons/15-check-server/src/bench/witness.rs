//! What the server says of a call's end: through the probe, or through its list of calls.

use std::time::{Duration, SystemTime};

use anyhow::bail;
use serde_json::json;
use tokio::time::Instant;

use super::client::{Line, Name, PATIENCE, Session};
use super::measure::Count;
use crate::target::{PROBE, Source};
use crate::wire::Revision;
use crate::work::structured;

/// Asks on a connection of its own, and in a session of its own if there are such.
#[derive(Debug)]
pub struct Witness {
    session: Session,
    line: Line,
    source: Source,
    /// Its clock is ours, so its stamps count.
    here: bool,
    /// It has given a stamp.
    pub stamped: bool,
}

/// How a call stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Word {
    Unknown,
    Running,
    /// Ended so long ago that the list has no entry any more: it is not the last.
    Forgotten,
    /// Ended, and when: seconds since 1970.
    Over(Option<f64>),
    /// Ran to its natural end.
    Finished,
}

/// When a cancel was sent, on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    clock: SystemTime,
    pub at: Instant,
}

impl Sent {
    pub fn now() -> Self {
        Self { clock: SystemTime::now(), at: Instant::now() }
    }

    /// The milliseconds from here to the stamp.
    pub fn until(&self, stamp: f64) -> f64 {
        let clock = self.clock.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // Two clocks that are read apart may differ by a hair.
        ((stamp - clock.as_secs_f64()) * 1e3).max(0.0)
    }
}

impl Witness {
    pub async fn new(session: Session, source: Source) -> anyhow::Result<Self> {
        let line = Line::open(&session.target).await?;
        let here = session.target.is_here();
        Ok(Self { session, line, source, here, stamped: false })
    }

    pub fn knows(&self) -> bool {
        self.source != Source::None
    }

    pub async fn close(&self) {
        self.session.close().await;
    }

    /// A small request that has nothing to do with any other call.
    pub async fn unrelated(&mut self) -> anyhow::Result<()> {
        if self.source == Source::Probe {
            return self.of_probe("nobody").await.map(drop);
        }
        let method = match self.session.revision {
            Revision::Handshake => "ping",
            Revision::Stateless => "server/discover",
        };
        self.session.ask(&mut self.line, method, json!({})).await.map(drop)
    }

    /// How each of these calls stands.
    pub async fn words(&mut self, calls: &[Name]) -> anyhow::Result<Vec<Word>> {
        let mut words = Vec::new();
        match &self.source {
            Source::None => words.resize(calls.len(), Word::Unknown),
            Source::Probe => {
                for call in calls {
                    words.push(self.of_probe(&call.label).await?);
                }
            }
            Source::Status(tool) => {
                let params = json!({ "name": tool, "arguments": {} });
                let result = self.session.ask(&mut self.line, "tools/call", params).await?;
                let list = structured(&result, "calls").unwrap_or_default();
                let list = list["calls"].as_array().cloned().unwrap_or_default();
                let listed: std::collections::HashMap<_, _> = list
                    .iter()
                    .filter_map(|entry| Some((entry["request_id"].as_i64()?, entry)))
                    .collect();
                for call in calls {
                    words.push(match listed.get(&call.id) {
                        None => Word::Forgotten,
                        Some(entry) if entry["state"] == "running" => Word::Running,
                        Some(entry) if entry["state"] == "finished" => Word::Finished,
                        Some(entry) => Word::Over(entry["ended_at"].as_str().and_then(seconds)),
                    });
                }
            }
        }
        if !self.here {
            for word in &mut words {
                if let Word::Over(stamp) = word {
                    *stamp = None;
                }
            }
        }
        Ok(words)
    }

    async fn of_probe(&mut self, label: &str) -> anyhow::Result<Word> {
        let params = json!({ "name": PROBE, "arguments": { "id": label, "ask": true } });
        let result = self.session.ask(&mut self.line, "tools/call", params).await?;
        Ok(match structured(&result, "running") {
            None => Word::Unknown,
            Some(said) if said["running"] == true => Word::Running,
            Some(said) if said["cancelled"] == false => Word::Finished,
            Some(said) => Word::Over(said["stopped_at"].as_f64()),
        })
    }

    /// Waits until the tool is at work.
    pub async fn at_work(&mut self, call: &Name) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.words(std::slice::from_ref(call)).await? != [Word::Running] {
            if Instant::now() > until {
                bail!("the tool was not at work within {PATIENCE:?}");
            }
        }
        Ok(())
    }

    /// Waits until all of these calls are over: the milliseconds from the cancel to the end of the
    /// last, as the server has noted it or, if it notes no time, as it was seen. Counts them.
    pub async fn all_over(
        &mut self,
        calls: &[Name],
        sent: Sent,
        count: &mut Count,
    ) -> anyhow::Result<Option<f64>> {
        count.started += calls.len();
        if !self.knows() {
            return Ok(None);
        }
        let mut open = calls.to_vec();
        let mut last: Option<f64> = None;
        loop {
            let words = self.words(&open).await?;
            let seen = sent.at.elapsed();
            let open_before = open.len();
            let mut still = Vec::new();
            for (call, word) in open.into_iter().zip(words) {
                match word {
                    Word::Over(stamp) => {
                        self.stamped |= stamp.is_some();
                        let at = stamp.map_or(seen.as_secs_f64() * 1e3, |at| sent.until(at));
                        last = Some(last.map_or(at, |last| last.max(at)));
                    }
                    // Unknown: it was cancelled before its tool began.
                    Word::Forgotten | Word::Unknown => {}
                    Word::Running => still.push(call),
                    Word::Finished => bail!(
                        "a call ran to its end although it was cancelled; \
                         `mcp-cancel-check URL` says what is wrong"
                    ),
                }
            }
            count.over += open_before - still.len();
            if still.is_empty() {
                return Ok(last);
            }
            if seen > PATIENCE {
                bail!(
                    "{} of {} calls still run {PATIENCE:?} after their cancel; \
                     `mcp-cancel-check URL` says what is wrong",
                    still.len(),
                    calls.len()
                );
            }
            open = still;
            // A long list is work for the server, which has better things to do now.
            let pause = match open.len() {
                101.. => 200,
                _ => u64::from(self.stamped),
            };
            // What takes longer is looked at less often, to within two percent.
            tokio::time::sleep(Duration::from_millis(pause).max(seen / 64)).await;
        }
    }
}

/// A time of the list, as seconds since 1970.
fn seconds(time: &str) -> Option<f64> {
    let time = humantime::parse_rfc3339(time).ok()?;
    Some(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64())
}

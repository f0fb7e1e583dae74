//! A check: which revisions the server speaks, one lane for each, all lanes at once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::finding::Finding;
use crate::lane::{Lane, Options, Setup, plain};
use crate::scenes;
use crate::status_line;
use crate::target::{Source, Tool, Wishes, pick};
use crate::wire::{NoServer, Place, Revision, Wire};

/// When one revision is answered, the other may take as long again, and this.
const SECOND: Duration = Duration::from_secs(10);

/// What a check has found.
#[derive(Debug)]
pub struct Report {
    pub lanes: Vec<String>,
    pub tool: Tool,
    pub source: Source,
    pub findings: Vec<Finding>,
}

pub async fn check(
    place: &Place,
    revisions: &[Revision],
    wishes: &Wishes,
    options: &Options,
) -> anyhow::Result<Report> {
    let mut opened = JoinSet::new();
    for revision in revisions.iter().copied() {
        let place = place.clone();
        opened.spawn(async move { (revision, Wire::open(&place, revision).await) });
    }
    let mut spoken = Vec::new();
    let mut refusals = Vec::new();
    let mut stderr = Vec::new();
    let asked = Instant::now();
    let mut patience = Duration::MAX;
    while let Ok(Some(answered)) = timeout(patience, opened.join_next()).await {
        let (revision, wire) = answered?;
        match wire {
            Ok((wire, hello)) => {
                spoken.push((wire, hello));
                // A server that runs, and says nothing to the other revision, does not speak it.
                patience = SECOND + asked.elapsed();
            }
            Err(error) => {
                refusals.push((revision.name(), format!("{error:#}")));
                if let Some(NoServer { stderr: lines, .. }) = error.downcast_ref() {
                    stderr.clone_from(lines);
                }
            }
        }
    }
    spoken.sort_by_key(|(wire, _)| wire.revision.name());
    let Some((first, _)) = spoken.first() else {
        // Both revisions have met the same end.
        let stderr = stderr.into_iter().map(|line| format!("   │ {line}"));
        let same = refusals.windows(2).all(|pair| pair[0].1 == pair[1].1);
        let why = match &refusals[..] {
            [(_, why), ..] if same => why.clone(),
            _ => {
                let each = refusals.iter().map(|(name, why)| format!("{name}: {why}"));
                each.collect::<Vec<_>>().join(". ")
            }
        };
        let lines = [why].into_iter().chain(stderr).collect::<Vec<_>>();
        bail!("no MCP server was reached. {}", lines.join("\n"));
    };
    let (tool, source) = pick(first, wishes).await.context("no tool to cancel")?;
    let name = plain(&tool.name);
    crate::note(&format!("calling the tool `{name}` with {} ({})", tool.arguments, tool.why));

    let mut lanes = Vec::new();
    let turns = Arc::<tokio::sync::Mutex<()>>::default();
    let mut running = JoinSet::new();
    for (wire, hello) in spoken {
        let setup = Setup {
            place: place.clone(),
            tool: tool.clone(),
            source: source.clone(),
            options: options.clone(),
            endings: lanes.is_empty(),
            turns: turns.clone(),
        };
        let lane = Lane::over(wire, hello, setup)?;
        lanes.push(lane.name.clone());
        if options.pid.is_some() {
            // All lanes share the processes that are watched: one after the other.
            let findings = scenes::play(lane, status_line::show).await;
            running.spawn(async { findings });
        } else {
            running.spawn(scenes::play(lane, status_line::show));
        }
    }
    let mut findings = Vec::new();
    while let Some(lane) = running.join_next().await {
        findings.extend(lane??);
    }
    status_line::clear();
    findings.sort_by(|a, b| (&a.lane, a.number).cmp(&(&b.lane, b.number)));
    Ok(Report { lanes, tool, source, findings })
}

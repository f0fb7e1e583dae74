//! The stage: an engine, replicas, and what stands before them.

pub mod balancer;
pub mod engine;
pub mod process;
pub mod proxy;
pub mod replicas;
pub mod task;
pub mod wire;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use shared::calls::State;

use crate::flaw::Flaw;
use crate::memory::MemoryStore;
use crate::replica::Manner;
use crate::store::Store;
use balancer::Balancer;
use engine::{Engine, INSTALL};
use replicas::{Replica, count};

/// A short step of work.
pub const TICK: Duration = Duration::from_millis(25);
/// A shorter one, for replicas whose flaw is that they work to the end.
const HASTE: Duration = Duration::from_millis(10);
/// Work that ends by itself only if nobody has stopped it, after ten seconds.
pub const LONG: u32 = 400;
/// How long a task is its owner's. Longer than an engine takes to come back.
pub const LEASE: Duration = Duration::from_secs(5);

/// What the command line says of this run.
#[derive(Debug, Default)]
pub struct Options {
    /// An engine that runs already.
    pub redis: Option<String>,
    /// What is wrong with the replicas.
    pub wrong: Option<Flaw>,
    /// The claims that could not be looked at here, and why.
    pub skipped: Mutex<Vec<String>>,
}

impl Options {
    /// Notes a claim that cannot be looked at here.
    pub fn skip(&self, claim: &str, why: &str) {
        println!("⏭  skipped: {claim}");
        if let Ok(mut skipped) = self.skipped.lock() {
            skipped.push(format!("{claim} ({why})"));
        }
    }

    /// Whether there is an engine. If not, notes this claim as skipped.
    pub fn needs_engine(&self, claim: &str) -> bool {
        let there = self.redis.is_some() || Engine::is_installed();
        if !there {
            self.skip(claim, INSTALL);
        }
        there
    }

    /// How replicas work, unless the command line makes them wrong.
    pub fn manner(&self) -> Manner {
        use Flaw::{DeafToDelete, DoorbellOnly, NoBus, Swallow};
        let tick = match self.wrong {
            Some(DeafToDelete | DoorbellOnly | NoBus | Swallow) => HASTE,
            _ => TICK,
        };
        Manner { tick, lease: LEASE, flaw: self.wrong }
    }
}

/// Replicas behind a round robin, and what they share. Dropping it ends them all.
pub struct Rig {
    /// In front: each request goes to the next replica.
    pub balancer: Balancer,
    /// The replicas.
    pub replicas: Vec<Replica>,
    /// What they share, if it is an engine.
    pub engine: Option<Engine>,
    memory: Arc<dyn Store>,
    manner: Manner,
}

impl Rig {
    /// Starts so many replicas: child processes that share an engine. On a machine without an
    /// engine they live in this process and share its memory.
    pub async fn start(options: &Options, replicas: usize, manner: Manner) -> Result<Self> {
        let engine = match &options.redis {
            Some(url) => Some(Engine::at(url)),
            None if Engine::is_installed() => {
                Some(Engine::start(options.wrong == Some(Flaw::EngineForgets)).await?)
            }
            None => None,
        };
        let memory: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let mut started = Vec::new();
        for _ in 0..replicas {
            started.push(Replica::start(engine.as_ref(), &memory, manner).await?);
        }
        let urls = started.iter().map(|replica| replica.url.clone()).collect();
        let swallows = options.wrong == Some(Flaw::Swallow);
        let balancer = Balancer::start(urls, swallows).await?;
        Ok(Self { balancer, replicas: started, engine, memory, manner })
    }

    /// One replica more. It stands behind no balancer.
    pub async fn another(&self) -> Result<Replica> {
        Replica::start(self.engine.as_ref(), &self.memory, self.manner).await
    }

    /// How many calls the replicas have stopped, as soon as none of them runs any more.
    pub async fn stopped(&self) -> Result<usize> {
        let mut stopped = 0;
        for replica in &self.replicas {
            stopped += count(&replica.calls_when_ended().await?, State::Cancelled);
        }
        Ok(stopped)
    }

    /// Where the replica of this number listens.
    pub fn url(&self, replica: usize) -> &str {
        &self.replicas[replica].url
    }
}

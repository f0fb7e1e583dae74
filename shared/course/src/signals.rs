//! Ctrl-C, and what a process manager sends.

use std::time::Duration;

use anyhow::Context;
use shared::stop::Stop;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

/// When a server that was told to stop is ended all the same: this long after its work has ended,
/// or should have.
const OVERDUE: Duration = Duration::from_secs(3);

/// SIGINT (Ctrl-C) and SIGTERM (a process manager). From its creation on both are heard and neither
/// ends the process, even if it was started with Ctrl-C ignored (a script's `&`).
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens from now on. Fails outside of a tokio runtime, and if the system refuses.
    pub fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Returns at the next signal.
    pub async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// The first signal stops the server in order. A second one ends the process at once (exit
    /// code 130). On a thread and a runtime of its own: tools that block all the server's threads
    /// do not block this.
    pub fn stop(mut self, stop: Stop) {
        let wait = async move {
            self.recv().await;
            stop.now();
            let overdue = async {
                stop.settled().await;
                sleep(OVERDUE).await;
            };
            let (why, code) = tokio::select! {
                () = self.recv() => ("ended at once", 130),
                () = overdue => ("a tool blocks the server: ended all the same", 1),
            };
            eprintln!("❌ {why}");
            std::process::exit(code);
        };
        std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(wait))
        });
    }
}

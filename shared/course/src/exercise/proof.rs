//! What the checks of proofs share: the learner's client against a healthy server and wrong ones.

use anyhow::{anyhow, ensure};

/// What came of a proof: a line of the table for each server.
#[derive(Debug, Default)]
pub struct Table(Vec<&'static str>);

impl Table {
    /// A proof must pass against the healthy server.
    pub fn healthy(proved: anyhow::Result<()>) -> anyhow::Result<Self> {
        match proved {
            Ok(()) => println!("   {:21} passes", "healthy"),
            Err(why) => {
                return Err(anyhow!(
                    "your proof fails against the healthy server: {why:#}\n\
                     the healthy server does all that it should: what does your code expect of it?"
                ));
            }
        }
        Ok(Self::default())
    }

    /// A proof must fail against a server that is wrong.
    pub fn wrong(&mut self, flaw: &'static str, proved: anyhow::Result<()>) {
        match proved {
            Ok(()) => {
                println!("   {flaw:21} not noticed");
                self.0.push(flaw);
            }
            Err(why) => println!("   {flaw:21} noticed: {why:#}"),
        }
    }

    /// Every flaw must have been noticed.
    pub fn complete(self) -> anyhow::Result<()> {
        let missed = self.0.join(", ");
        ensure!(
            missed.is_empty(),
            "your proof does not notice a server that is wrong: {missed}\n\
             the caller's own side looks well with each of them: ask the server, and look at \
             everything that the task names"
        );
        Ok(())
    }
}

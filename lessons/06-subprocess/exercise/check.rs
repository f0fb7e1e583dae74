//! The check of the exercise: real scripts, and the system's own word on what is left of them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use course::exercise::tool::{Bench, Context, Outcome, TOOL};
use course::exercise::{Clock, Exercise};
use course::lesson::Protocol;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid};
use rmcp::service::PeerRequestOptions;
use serde_json::Value;
use shared::calls::State;
use shared::client::{PATIENCE, Patience, text_of, tool_call};

use crate::group::adopt;
use crate::table::members;

/// The exercise of this lesson.
pub const EXERCISE: Exercise = Exercise {
    stub: include_str!("stub.rs"),
    solution: include_str!("solution.rs"),
    file: concat!(env!("CARGO_MANIFEST_DIR"), "/src/exercise.rs"),
    clock: Clock::Real,
    check: || Box::pin(check(crate::exercise::run)),
};

/// How long a process that has been killed may still be listed.
const DYING: Duration = Duration::from_secs(3);

/// A script that starts two others, each of which writes down its process id. `$1` is where. An
/// answer that blocks leaves them alone. So they end when this program has ended, and by
/// themselves after longer than anybody looks. They keep none of this program's pipes open.
const LONG: &str = "exec 2>/dev/null
echo $$ >> \"$1\"
sh -c 'echo $$ >> \"$1\"; exec sleep 60' sh \"$1\" >/dev/null 2>&1 & one=$!
sh -c 'echo $$ >> \"$1\"; exec sleep 60' sh \"$1\" >/dev/null 2>&1 & two=$!
echo started
for _ in $(seq 60); do kill -0 $PPID || break; sleep 1; done
kill $one $two";
/// A script that ends, and leaves one behind.
const SHORT: &str = "echo $$ >> \"$1\"
sh -c 'echo $$ >> \"$1\"; exec sleep 60' sh \"$1\" >/dev/null 2>&1 &
while [ $(wc -l < \"$1\") -lt 2 ]; do :; done
echo hello";

/// What the processes of a call have written down. Whatever an answer leaves, this ends it.
struct Family(PathBuf);

impl Family {
    fn new() -> anyhow::Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::current_exe()?.with_file_name("exercises");
        std::fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{}-{number}.pids", std::process::id()));
        std::fs::write(&file, "")?;
        Ok(Self(file))
    }

    fn script(&self, text: &str) -> Vec<String> {
        let file = self.0.display().to_string();
        ["sh", "-c", text, "sh", &file].map(str::to_owned).to_vec()
    }

    fn pids(&self) -> Vec<Pid> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().filter_map(|line| Some(Pid::from_raw(line.parse().ok()?))).collect()
    }

    fn alive(&self) -> usize {
        self.pids().into_iter().filter(|pid| is_alive(*pid)).count()
    }

    /// Waits until all its processes are there.
    async fn complete(&self, processes: usize) -> anyhow::Result<()> {
        let mut patience = Patience::of(PATIENCE);
        while self.pids().len() < processes {
            let lasts = patience.lasts().await;
            ensure!(lasts, "your tool does not run its script\nthe first word is the program");
        }
        Ok(())
    }

    /// How many live, when those that were killed have had time to go.
    async fn left(&self) -> usize {
        let mut patience = Patience::of(DYING);
        while self.alive() > 0 && patience.lasts().await {}
        self.alive()
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        for pid in self.pids().into_iter().filter(|pid| is_alive(*pid)) {
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = std::fs::remove_file(Path::new(&self.0));
    }
}

/// By the system's list: neither gone nor a zombie.
fn is_alive(pid: Pid) -> bool {
    let Ok(group) = getpgid(Some(pid)) else { return false };
    let members = members(group).unwrap_or_default();
    members.iter().any(|process| process.pid == pid.as_raw() && !process.zombie)
}

/// Plays an answer.
pub async fn check<F, A>(tool: F) -> anyhow::Result<String>
where
    F: Fn(Vec<String>, Context) -> A + Copy + Send + Sync + 'static,
    A: Future<Output = Outcome> + Send + 'static,
{
    // So that no orphan stays a zombie where process 1 waits for nobody.
    adopt();
    let families = [Family::new()?, Family::new()?, Family::new()?];
    let [short, first, second] = &families;
    let scripts = [short.script(SHORT), first.script(LONG), second.script(LONG)];
    let count = AtomicUsize::new(0);
    let tool = move |_job, ctx| {
        let call = count.fetch_add(1, Ordering::Relaxed);
        tool(scripts[call.min(2)].clone(), ctx)
    };
    let bench = Bench::new(tool, Duration::ZERO, Protocol::V2025)?;
    let client = bench.stage.connect().await?;

    let answer = client.call(TOOL, Value::Null).await;
    let text = answer.map_or_else(|error| format!("{error:#}"), |answer| text_of(&answer));
    ensure!(
        text.trim() == "hello",
        "a script that prints hello was answered with {text:?}\n\
         return what it writes to its standard output: Ok(Some(text))"
    );
    let left = short.left().await;
    println!("   a script that has ended        {left} process(es) left");
    ensure!(
        left == 0,
        "the script has ended, and {left} process that it has started lives on\n\
         not only a cancel ends a call: end the group on every way out"
    );

    let options = PeerRequestOptions::no_options;
    let call = client.send_cancellable_request(tool_call(TOOL, Value::Null), options()).await?;
    let number = client.newest(TOOL).await?;
    first.complete(3).await?;
    let other = client.send_cancellable_request(tool_call(TOOL, Value::Null), options()).await?;
    second.complete(3).await?;
    call.cancel(None).await?;
    let record = client.ask_until_ended(number).await?;
    ensure!(
        record.state == State::Cancelled,
        "a cancelled script is {:?} in the server's list\nOk(None) is cancelled",
        record.state
    );
    let (left, others) = (first.left().await, second.alive());
    println!("   a script that was cancelled    {left} process(es) left");
    println!("   another script, at work        {others} process(es) left");
    ensure!(
        left == 0,
        "the script was cancelled, and {left} of its 3 processes live on\n\
         to kill the child is to kill one: give it a process group of its own, and kill that"
    );
    ensure!(
        others == 3,
        "a script was cancelled, and {others} of 3 processes of another call are left\n\
         each call has a group of its own, and ends that one only"
    );
    other.cancel(None).await?;
    let left = second.left().await;
    ensure!(left == 0, "the second script was cancelled, and {left} of its 3 processes live on");
    client.close().await.context("the connection")?;
    Ok("your tool leaves no process behind, and takes none from others".to_owned())
}

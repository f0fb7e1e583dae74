//! The chapter `killed`: a client that ends without a word, and what its server makes of it.

use std::time::Duration;

use anyhow::{Context, ensure};
use course::lesson::Transport;
use course::stage::Stage;
use rmcp::service::PeerRequestOptions;
use shared::client::PROMPT;
use shared::server::MAX_STEPS;
use tokio::process::Command;
use tokio::time::Instant;

use crate::program::Program;
use crate::{request, steps};

/// Kills a client at work, three times: over HTTP in both revisions, and over stdio. It does
/// so whatever the command line says, with servers of its own, each in another process.
pub(crate) async fn killed(stage: &Stage) -> anyhow::Result<()> {
    println!("   kill -9, and       after    the server says of the call");
    let serve = ["serve", "--transport", "http", "--addr", "127.0.0.1:0"];
    let mut server = Program::start(stage.program(&serve)?)?;
    let first = server.line_with(&["serves MCP at"]).await.context("the server")?;
    let url = first.rsplit(' ').next().unwrap_or_default();

    // 1. The kernel closes the dead process's sockets. The closed stream is the cancel.
    let hold = ["hold", "--url", url, "--transport", "http", "--protocol", "2026-07-28"];
    let client = stage.program(&hold)?;
    let took = kill(client, Some(&mut server), "http 2026-07-28", "cancelled").await?;
    ensure!(took < PROMPT, "http 2026-07-28: the server noticed only after {took:.1?}");

    // 2. The same sockets, the same moment. But here a client may come back for its answer
    //    (`Last-Event-ID`), so a lost connection must not cancel: the work goes to its end.
    let hold = ["hold", "--url", url, "--transport", "http", "--protocol", "2025-11-25"];
    let client = stage.program(&hold)?;
    kill(client, Some(&mut server), "http 2025-11-25", "finished").await?;

    // 3. This client starts its server and holds both of its pipes, so nobody is left to ask.
    //    But with -v a server on stdio tells standard error what becomes of its calls. Its
    //    input ends; rmcp gives running calls five seconds to answer, and cancels what is left.
    let hold = ["hold", "--transport", "stdio", "-v"];
    kill(stage.program(&hold)?, None, "stdio", "cancelled").await?;
    Ok(())
}

/// Starts a client, kills it when its call is at work, and waits for its server's word on how
/// the call ended. On stdio that server is the client's child and has its standard error.
async fn kill(
    client: Command,
    server: Option<&mut Program>,
    way: &str,
    end: &str,
) -> anyhow::Result<Duration> {
    let mut client = Program::start(client)?;
    client.line_with(&["is at work"]).await.context("the client that is to be killed")?;
    let killed_at = Instant::now();
    client.kill().await?;
    let server = server.unwrap_or(&mut client);
    let news = server.line_with(&["🛑 request", "✅ request", "❌ request"]).await;
    let took = killed_at.elapsed();
    let news = news.with_context(|| format!("{way}: the server did not notice the kill"))?;
    let word = news.rsplit("process_large_file ").next().unwrap_or_default();
    ensure!(word.contains(end), "{way}: after the kill the call should be {end}, but: {word}");
    println!("   {way:15}  {:6.3} s   {word}", took.as_secs_f64());
    Ok(took)
}

/// The victim: a client that starts a call, says so, and waits.
pub(crate) async fn hold(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.connect().await?;
    let mut progress = client.progress();
    let steps = match stage.transport {
        Transport::Http => steps(stage, Duration::from_millis(1500)),
        // On stdio the call must outlast the five seconds that rmcp gives it.
        Transport::Stdio => MAX_STEPS,
    };
    let options = PeerRequestOptions::no_options();
    let handle = client.send_cancellable_request(request(steps), options).await?;
    progress.next_of(&handle.progress_token).await?;
    println!("📁 request {} is at work, {steps} steps; this client waits", handle.id);
    handle.await_response().await?;
    client.close().await
}

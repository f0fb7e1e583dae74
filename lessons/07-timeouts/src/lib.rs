//! Lesson 7: deadlines, and callers that vanish.
//!
//! Lesson 7 cancelled a call in so many words. Most calls end otherwise: a future is dropped,
//! a deadline passes, somebody presses Ctrl-C, a process dies, a connection falls silent. Each
//! chapter lets a caller vanish in one of these ways, and then asks the server what it knows.

pub mod ctrl_c;
pub mod idle;
pub mod killed;
pub mod program;

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use course::lesson::{Chapter, Lesson, Protocol, Transport};
use course::narrate::outcome;
use course::stage::Stage;
use rmcp::model::{CallToolRequest, CallToolRequestParams, ClientRequest, RequestId, ServerResult};
use rmcp::object;
use rmcp::service::{PeerRequestOptions, ServiceError};
use shared::calls::{CallRecord, State};
use shared::client::Client;
use shared::layer::Server;
use shared::server::{FileServer, MAX_STEPS, Setup};
use tokio::time::{Instant, timeout};

/// Lesson 7.
pub const LESSON: Lesson = Lesson {
    number: 7,
    name: "timeouts",
    title: "Deadlines, and callers that vanish",
    transports: &[Transport::Http, Transport::Stdio],
    protocols: &[Protocol::V2025, Protocol::V2026],
    server: |setup| {
        let tick = setup.tick.max(MIN_TICK);
        Ok(Server::new(FileServer::new(Setup { tick, ..setup })))
    },
    story: |stage| Box::pin(story(stage)),
    chapters: &CHAPTERS,
};

/// The chapters. The whole story plays the first five; the last two are clients to be stopped.
const CHAPTERS: [Chapter; 7] = [
    Chapter {
        name: "drop",
        title: "A dropped call tells the server, a dropped handle does not",
        in_story: true,
        story: |stage| Box::pin(dropped(stage)),
    },
    Chapter {
        name: "deadline",
        title: "A deadline, put off by progress, under a hard cap",
        in_story: true,
        story: |stage| Box::pin(deadline(stage)),
    },
    Chapter {
        name: "killed",
        title: "A client is killed: when does its server notice? Three ways",
        in_story: true,
        story: |stage| Box::pin(killed::killed(stage)),
    },
    Chapter {
        name: "idle",
        title: "An idle session takes its silent call with it (HTTP 2025-11-25)",
        in_story: true,
        story: |stage| Box::pin(idle::idle(stage, limit(stage))),
    },
    Chapter {
        name: "presses",
        title: "The chapter ctrl-c, with Ctrl-C sent to it once and twice",
        in_story: true,
        story: |stage| Box::pin(ctrl_c::presses(stage)),
    },
    Chapter {
        name: "ctrl-c",
        title: "A long call for you to stop: Ctrl-C cancels it, a second one leaves",
        in_story: false,
        story: |stage| Box::pin(ctrl_c::ctrl_c(stage)),
    },
    Chapter {
        name: "hold",
        title: "A client that waits for a long call: the victim of the chapter killed",
        in_story: false,
        story: |stage| Box::pin(killed::hold(stage)),
    },
];

/// The shortest step of this lesson's server: a deadline needs something that lasts longer.
const MIN_TICK: Duration = Duration::from_millis(50);

/// The whole lesson.
async fn story(stage: &Stage) -> anyhow::Result<()> {
    for chapter in &CHAPTERS[..5] {
        println!("\n📖 {}: {}", chapter.name, chapter.title);
        (chapter.story)(stage).await.with_context(|| format!("chapter {}", chapter.name))?;
    }
    Ok(())
}

async fn dropped(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.connect().await?;
    let (limit, mut progress) = (limit(stage), client.progress());

    // 1. `call_tool` is one future that sends and waits. To give the call up is to drop it, and
    //    here it is dropped because it loses a `select!`. rmcp notices, and tells the server.
    tokio::select! {
        answer = client.call_tool(work(steps(stage, limit * 2))) => {
            bail!("the call ended before it was dropped: {answer:?}")
        }
        at_work = progress.next() => at_work?,
    };
    println!("   call_tool, lost a select!      {}", told(&client, "a dropped call").await?);

    // 2. The same with tokio's timeout, which drops what it has waited for long enough.
    let answer = timeout(limit, client.call_tool(work(steps(stage, limit * 2)))).await;
    ensure!(answer.is_err(), "tokio's timeout did not come first: {answer:?}");
    println!("   call_tool, in tokio's timeout  {}", told(&client, "tokio's timeout").await?);

    // 3. A handle is no such future. It is a ticket for the answer, and who throws it away has
    //    said nothing. The same is true of the future that `await_response()` returns.
    let call = request(steps(stage, limit / 2));
    let handle = client.send_cancellable_request(call, PeerRequestOptions::no_options()).await?;
    let id = handle.id.clone();
    progress.next_of(&handle.progress_token).await?;
    drop(handle);
    let call = see_it_end(&client, &id).await?;
    ensure!(
        call.state == State::Finished && call.steps_done == call.steps_total,
        "the work did not go on when the handle was dropped: {}",
        outcome(&call)
    );
    println!("   RequestHandle, dropped         {}, for nobody", outcome(&call));
    client.close().await
}

async fn deadline(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.connect().await?;
    let limit = limit(stage);
    let steps = steps(stage, limit * 2);

    // 1. The call takes twice as long as its caller is ready to wait. When the time is over,
    //    the caller gets an error, and the server a cancel.
    let options = PeerRequestOptions::with_timeout(limit);
    let (answer, took) = call(&client, steps, options).await?;
    ensure!(
        matches!(answer, Err(ServiceError::Timeout { .. })),
        "the deadline did not end the wait, but {answer:?}"
    );
    let server = told(&client, "the deadline").await?;
    println!("   {limit:?}, no more      error after {took:.1} s   {server}");

    // 2. The same, but each progress notification of the call starts the clock anew: now it
    //    is a deadline for silence, and a call that talks may take as long as it likes.
    let options = PeerRequestOptions::with_timeout(limit).reset_timeout_on_progress();
    let (answer, took) = call(&client, steps, options).await?;
    ensure!(
        answer.is_ok() && took > limit.as_secs_f64(),
        "progress did not carry the call past its deadline: after {took:.1} s {answer:?}"
    );
    println!("   {limit:?} of silence    answer after {took:.1} s");

    // 3. So a call that talks and never ends needs a second deadline, which nothing puts off.
    let cap = limit * 3 / 2;
    let options = PeerRequestOptions::with_timeout(limit).reset_timeout_on_progress();
    let (answer, took) = call(&client, steps, options.with_max_total_timeout(cap)).await?;
    ensure!(
        matches!(answer, Err(ServiceError::Timeout { timeout }) if timeout == cap),
        "the hard cap did not end the wait, but {answer:?}"
    );
    let server = told(&client, "the hard cap").await?;
    println!("   {cap:?} in all      error after {took:.1} s   {server}");
    client.close().await
}

/// Calls the tool, waits as the options say, and tells how that ended, after how many seconds.
async fn call(
    client: &Client,
    steps: u32,
    options: PeerRequestOptions,
) -> anyhow::Result<(Result<ServerResult, ServiceError>, f64)> {
    let handle = client.send_cancellable_request(request(steps), options).await?;
    // The clock of a deadline starts in `await_response`, not when the call is sent.
    let started = Instant::now();
    Ok((handle.await_response().await, started.elapsed().as_secs_f64()))
}

/// What the server says of its newest call, which it should have been told to stop.
async fn told(client: &Client, by: &str) -> anyhow::Result<String> {
    let newest = client.list_calls().await?.pop().context("the server lists no call")?;
    let call = client.ask_by_id(&newest.request_id).await?;
    ensure!(
        call.state == State::Cancelled,
        "{by} did not reach the server: its call {}",
        outcome(&call)
    );
    let reason = call.reason.as_deref().unwrap_or("no reason given");
    Ok(format!("{}: {reason}", outcome(&call)))
}

/// Asks the server until the call has ended, for as long as that takes.
async fn see_it_end(client: &Client, id: &RequestId) -> anyhow::Result<CallRecord> {
    loop {
        let call = client.ask_by_id(id).await?;
        if call.state != State::Running {
            return Ok(call);
        }
        println!("   {}", outcome(&call));
    }
}

/// What a caller is ready to wait: some steps, and no less than a busy machine needs.
fn limit(stage: &Stage) -> Duration {
    (stage.tick * 3).max(Duration::from_secs(1))
}

/// The number of steps that take so long.
fn steps(stage: &Stage, length: Duration) -> u32 {
    let steps = length.as_millis().div_ceil(stage.tick.max(MIN_TICK).as_millis());
    u32::try_from(steps).map_or(MAX_STEPS, |steps| steps.min(MAX_STEPS))
}

/// The call of this lesson: so many steps of work.
fn work(steps: u32) -> CallToolRequestParams {
    let arguments = object!({ "filename": "large_dataset.csv", "processing_time": steps });
    CallToolRequestParams::new("process_large_file").with_arguments(arguments)
}

/// The same as a request, for those who want to hold its handle.
fn request(steps: u32) -> ClientRequest {
    ClientRequest::CallToolRequest(CallToolRequest::new(work(steps)))
}

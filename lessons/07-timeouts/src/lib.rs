//! Lesson 7: deadlines, dropped calls and Ctrl-C.
//!
//! Few callers cancel a call by name. A future is dropped, a deadline passes, somebody presses
//! Ctrl-C. Each chapter ends a call in one of these ways, and then asks the server what it knows.

#[path = "../exercise/check.rs"]
pub mod check;
mod ctrl_c;
mod exercise;

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use course::lesson::{Chapter, Lesson, Protocol, Transport};
use course::narrate::outcome;
use course::stage::Stage;
use hosting::layer::Server;
use rmcp::model::{CallToolRequest, CallToolRequestParams, ClientRequest, ServerResult};
use rmcp::object;
use rmcp::service::{PeerRequestOptions, ServiceError};
use shared::calls::{CallRecord, State};
use shared::client::{Client, PATIENCE, Patience};
use shared::server::{FileServer, MAX_STEPS, Setup};
use tokio::time::{Instant, timeout};

/// Lesson 7.
pub const LESSON: Lesson = Lesson {
    number: 7,
    name: "timeouts",
    title: "Deadlines, dropped calls and Ctrl-C",
    transports: &[Transport::Http, Transport::Stdio],
    protocols: &[Protocol::V2025, Protocol::V2026],
    server: |setup| {
        let tick = setup.tick.max(MIN_TICK);
        Ok(Server::new(FileServer::new(Setup { tick, ..setup })))
    },
    story: |stage| Box::pin(story(stage)),
    chapters: &CHAPTERS,
    exercise: Some(&check::EXERCISE),
};

/// The chapters. The last waits for a person, so it is no part of the story.
const CHAPTERS: [Chapter; 3] = [
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
        name: "ctrl-c",
        title: "A long call for you to stop: Ctrl-C cancels it, a second one leaves",
        in_story: false,
        story: |stage| Box::pin(ctrl_c::ctrl_c(stage)),
    },
];

/// The shortest step of this lesson's server: a deadline needs something that lasts longer.
const MIN_TICK: Duration = Duration::from_millis(50);
/// The tool of this lesson.
const TOOL: &str = "process_large_file";
/// How many steps a call that was told to stop may still do. The call that is not, takes as many.
const FEW: u32 = 5;

/// The whole lesson.
async fn story(stage: &Stage) -> anyhow::Result<()> {
    for chapter in CHAPTERS.iter().filter(|chapter| chapter.in_story) {
        println!("\n📖 {}: {}", chapter.name, chapter.title);
        (chapter.story)(stage).await.with_context(|| format!("chapter {}", chapter.name))?;
    }
    Ok(())
}

async fn dropped(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.connect().await?;
    let mut progress = client.progress();

    // 1. `call_tool` is one future that sends and waits. To give the call up is to drop it, and
    //    here it is dropped because it loses a `select!`. rmcp notices, and tells the server.
    tokio::select! {
        answer = client.call_tool(work(MAX_STEPS)) => {
            bail!("the call ended before it was dropped: {}", ended(&answer.map(ServerResult::CallToolResult)))
        }
        at_work = progress.next() => at_work?,
    };
    println!("   call_tool, lost a select!      {}", told(&client, "a dropped call").await?);

    // 2. The same with tokio's timeout, which drops what it has waited for long enough.
    let limit = Duration::from_millis(500);
    let answer = timeout(limit, client.call_tool(work(MAX_STEPS))).await;
    ensure!(answer.is_err(), "tokio's timeout did not come first: the call had ended");
    println!("   call_tool, in tokio's timeout  {}", told(&client, "tokio's timeout").await?);

    // 3. A handle is not that future. It is a ticket for the answer. If you drop it, nothing is
    //    sent. The same is true of the future that `await_response()` returns.
    let call = request(FEW);
    let handle = client.send_cancellable_request(call, PeerRequestOptions::no_options()).await?;
    progress.next_of(&handle.progress_token).await?;
    let call = client.newest(TOOL).await?;
    drop(handle);
    let call = see_it_end(&client, call, u32::MAX).await?;
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
    // A deadline that suits the server: longer than a few of its steps.
    let tick = tick_of_the_server(stage, &client).await?;
    let limit = (tick * 3).max(Duration::from_millis(500));

    // 1. The call takes far longer than its caller is ready to wait. When the time is over, the
    //    caller gets an error, and the server a cancel.
    let options = PeerRequestOptions::with_timeout(limit);
    let (answer, took) = call(&client, MAX_STEPS, options).await?;
    ensure!(
        matches!(answer, Err(ServiceError::Timeout { .. })),
        "the deadline did not end the wait: {}",
        ended(&answer)
    );
    let server = told(&client, "the deadline").await?;
    println!("   {:16} error after {took:.1} s   {server}", format!("{limit:?}, no more"));

    // 2. Now each progress notification starts the clock anew. It has become a deadline for
    //    silence, and a call that talks may take as long as it likes: here, twice that time.
    let twice = |limit| steps(limit * 2, tick);
    let options = |limit| PeerRequestOptions::with_timeout(limit).reset_timeout_on_progress();
    let (silence, answer, took) = call_in_time(&client, twice, limit, options).await?;
    let server = client.ask(client.newest(TOOL).await?).await?;
    ensure!(
        answer.is_ok() && server.steps_done == twice(silence),
        "progress did not carry the call past its deadline: the call {}, and {}",
        outcome(&server),
        ended(&answer)
    );
    println!("   {:16} answer after {took:.1} s", format!("{silence:?} of silence"));

    // 3. So a call that talks and never ends needs a second deadline, which nothing puts off.
    let cap = |limit: Duration| limit * 3 / 2;
    let options = |limit| options(limit).with_max_total_timeout(cap(limit));
    let (silence, answer, took) = call_in_time(&client, |_| MAX_STEPS, limit, options).await?;
    let cap = cap(silence);
    ensure!(
        matches!(answer, Err(ServiceError::Timeout { timeout }) if timeout == cap),
        "the hard cap did not end the wait: {}",
        ended(&answer)
    );
    let server = told(&client, "the hard cap").await?;
    println!("   {:16} error after {took:.1} s   {server}", format!("{cap:?} in all"));
    client.close().await
}

/// Calls the tool with a deadline for silence. On a busy machine the progress itself may be late,
/// and then the deadline is right to end the call: so we try again with twice the deadline, up to
/// eight times the first one. Returns the deadline of the last call.
async fn call_in_time(
    client: &Client,
    steps: impl Fn(Duration) -> u32,
    mut limit: Duration,
    options: impl Fn(Duration) -> PeerRequestOptions,
) -> anyhow::Result<(Duration, Answer, f64)> {
    let longest = limit * 8;
    loop {
        match call(client, steps(limit), options(limit)).await? {
            (Err(ServiceError::Timeout { timeout }), _) if timeout == limit && limit < longest => {
                limit *= 2;
            }
            (answer, took) => return Ok((limit, answer, took)),
        }
    }
}

/// The number of steps that take so long.
fn steps(length: Duration, tick: Duration) -> u32 {
    let steps = length.as_millis().div_ceil(tick.as_millis().max(1));
    u32::try_from(steps).map_or(MAX_STEPS, |steps| steps.min(MAX_STEPS))
}

/// The length of a step of the server's work. Of somebody else's server nobody has told us, so
/// we watch it for two steps.
async fn tick_of_the_server(stage: &Stage, client: &Client) -> anyhow::Result<Duration> {
    if !stage.foreign {
        return Ok(stage.tick.max(MIN_TICK));
    }
    let mut progress = client.progress();
    let handle = client
        .send_cancellable_request(request(MAX_STEPS), PeerRequestOptions::no_options())
        .await?;
    let mut ticks = Vec::new();
    progress.next_of(&handle.progress_token).await?;
    for _ in 0..2 {
        let began = Instant::now();
        progress.next_of(&handle.progress_token).await?;
        ticks.push(began.elapsed());
    }
    handle.cancel(None).await?;
    let tick = ticks.into_iter().max().unwrap_or_default().max(Duration::from_millis(1));
    println!("   this server takes {tick:.1?} for a step");
    Ok(tick)
}

type Answer = Result<ServerResult, ServiceError>;

/// Calls the tool, waits as the options say, and tells how that ended, after how many seconds.
async fn call(
    client: &Client,
    steps: u32,
    options: PeerRequestOptions,
) -> anyhow::Result<(Answer, f64)> {
    let handle = client.send_cancellable_request(request(steps), options).await?;
    // The clock of a deadline starts in `await_response`, not when the call is sent.
    let started = Instant::now();
    Ok((handle.await_response().await, started.elapsed().as_secs_f64()))
}

/// How a wait ended, in words.
fn ended(answer: &Answer) -> String {
    match answer {
        Ok(_) => "the result came".to_owned(),
        Err(ServiceError::Timeout { timeout }) => format!("no answer came within {timeout:?}"),
        Err(error) => error.to_string(),
    }
}

/// What the server says of its newest call, which it should have been told to stop.
async fn told(client: &Client, by: &str) -> anyhow::Result<String> {
    let newest = client.newest(TOOL).await?;
    let done = client.ask(newest).await?.steps_done;
    let call = see_it_end(client, newest, done + FEW).await?;
    ensure!(
        call.state == State::Cancelled,
        "{by} did not reach the server: its call {}",
        outcome(&call)
    );
    let reason = call.reason.as_deref().unwrap_or("no reason given");
    Ok(format!("{}: {reason}", outcome(&call)))
}

/// Asks the server until a call has ended, or has done this many steps.
async fn see_it_end(client: &Client, call: u64, steps: u32) -> anyhow::Result<CallRecord> {
    let (mut done, mut patience) = (0, Patience::of(2 * PATIENCE));
    loop {
        let call = client.ask(call).await?;
        if call.state != State::Running || call.steps_done >= steps {
            return Ok(call);
        }
        if call.steps_done > done {
            (done, patience) = (call.steps_done, Patience::of(2 * PATIENCE));
        }
        let lasts = patience.lasts().await;
        ensure!(lasts, "the call neither works nor ends: {}", outcome(&call));
    }
}

/// The call of this lesson: so many steps of work.
fn work(steps: u32) -> CallToolRequestParams {
    let arguments = object!({ "filename": "large_dataset.csv", "processing_time": steps });
    CallToolRequestParams::new(TOOL).with_arguments(arguments)
}

/// The same as a request: if you send that yourself, you get its handle.
fn request(steps: u32) -> ClientRequest {
    ClientRequest::CallToolRequest(CallToolRequest::new(work(steps)))
}

//! The story passes on every way it names, and ends by its own sentence against servers that
//! are wrong on purpose. Those read a shorter file: a hundred calls cost a tenth.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use course::lesson::Lesson;
use course::stage::Stage;
use futures::FutureExt;
use futures::future::BoxFuture;
use hosting::between::Between;
use hosting::layer::{Layer, Server};
use late_cancel::LESSON;
use late_cancel::tools::{QuickServer, rows_of};
use rmcp::model::{CallToolRequestParams, CallToolResponse};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use shared::dataset::{DataFolder, LARGE};
use shared::server::Setup;
use testing::hosted::setup;
use testing::story::{notices, paused};
use tokio_util::sync::CancellationToken;
use wrong::Wrong;

testing::passes_on!("late-cancel", "", http_2026 stdio_2025 stdio_2026);
testing::readme_shows_real_output!("late-cancel", Some("100ms"));

// The check of the exercise is right about the stub, a solution and wrong answers.
testing::judges!(late_cancel::count_rows:
    asks_twice blocks contradicts_itself deaf half_an_entry no_entry panics two_ends);

/// The lesson with a server whose large file is shorter.
const SHORTER: Lesson =
    Lesson { server: |setup| Ok(Server::new(QuickServer::new(shorter(setup)))), ..LESSON };

fn shorter(setup: Setup) -> Setup {
    static FOLDER: LazyLock<DataFolder> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shorter");
        fs::create_dir_all(&folder).unwrap();
        let sample = DataFolder::sample().unwrap();
        for (name, lines) in [(LARGE, 10_000), ("part_0.csv", 1000)] {
            let text = fs::read_to_string(sample.find(name).unwrap()).unwrap();
            let start: String = text.split_inclusive('\n').take(lines).collect();
            fs::write(folder.join(name), start).unwrap();
        }
        DataFolder::open(&folder).unwrap()
    });
    Setup { data: FOLDER.clone(), ..setup }
}

#[test]
fn a_count_that_is_told_to_stop_reads_no_further() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, "a\n1\n2\n").unwrap();
    let stop = CancellationToken::new();
    assert_eq!(rows_of(file.path(), &stop).unwrap(), 2);
    stop.cancel();
    assert_eq!(rows_of(file.path(), &stop).unwrap(), 0);
}

#[test]
fn notices_a_late_cancel_that_is_answered() {
    notices(&SHORTER, Wrong::Touchy, 100, "the late cancel was answered");
}

#[test]
fn notices_a_call_that_is_answered_twice() {
    notices(&SHORTER, Wrong::Twice, 100, "was answered 2 times");
}

#[test]
fn notices_results_of_calls_that_were_cancelled() {
    let sentence = "were answered although the server says that it cancelled";
    notices(&SHORTER, Wrong::Insistent, 100, sentence);
}

#[test]
fn notices_a_server_that_never_cancels() {
    notices(&SHORTER, Wrong::Deaf, 100, "no call was cancelled in 100 rounds");
}

/// Behaves until a tool has been called so often, and from then on no more.
struct Turncoat {
    turns_on: &'static str,
    after: u32,
    calls: AtomicU32,
}

impl Layer for Turncoat {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        async move {
            let tool = request.name.clone();
            let turned =
                tool == self.turns_on && self.calls.fetch_add(1, Ordering::SeqCst) >= self.after;
            let answer = next.call_tool(request, ctx).await?;
            match (turned, &*tool, answer) {
                (true, "list_calls", CallToolResponse::Complete(mut result)) => {
                    let list = result.structured_content.take().unwrap_or_default().to_string();
                    let list = list.replace("finished", "cancelled");
                    result.structured_content = serde_json::from_str(&list).ok();
                    Ok(result.into())
                }
                (true, "count_rows", _) => std::future::pending().await,
                (_, _, answer) => Ok(answer),
            }
        }
        .boxed()
    }
}

/// The story ends with this sentence against a server that turns. The clock is paused, so a wait
/// for an answer that does not come is short.
fn notices_turncoat(turns_on: &'static str, after: u32, sentence: &str) {
    for protocol in LESSON.protocols {
        let error = paused(async {
            let setup = shorter(setup(0));
            let stop = setup.stop.clone();
            let turncoat = Turncoat { turns_on, after, calls: AtomicU32::new(0) };
            let server = Server::new(QuickServer::new(setup)).with(turncoat);
            let stage = Stage::piped(server, Between::default(), stop.clone(), *protocol);
            let played = late_cancel::story(&stage).await;
            stop.now();
            format!("{:#}", played.unwrap_err())
        });
        assert!(error.contains(sentence), "{protocol}: {error}");
    }
}

#[test]
fn notices_a_finished_call_that_is_rewritten() {
    // The first two looks find the call's number, and its end.
    notices_turncoat("list_calls", 2, "the late cancel changed a finished call");
}

#[test]
fn notices_a_server_that_is_dead_after_a_late_cancel() {
    notices_turncoat("count_rows", 1, "the server did not survive a late cancel");
}

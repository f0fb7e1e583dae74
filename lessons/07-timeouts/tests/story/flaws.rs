//! Servers with odd calls, in ways that only this lesson has reason to fear.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use course::lesson::Protocol;
use course::stage::Stage;
use futures::FutureExt;
use futures::future::BoxFuture;
use hosting::between::Between;
use hosting::layer::{Layer, Server};
use rmcp::model::{CallToolRequestParams, CallToolResponse, RequestMetaObject};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use shared::server::FileServer;
use testing::hosted::setup;
use testing::story::paused;
use timeouts::LESSON;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const TICK: u64 = 100;

/// What is odd about the calls.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Oddity {
    /// It is done after one step.
    Quick,
    /// It reports no progress.
    Silent,
    /// It does not hear of its cancel.
    Deaf,
    /// It cancels itself.
    Restless,
}

/// Makes the calls from this number on odd.
struct Odd {
    call: u32,
    oddity: Oddity,
    calls: AtomicU32,
}

impl Layer for Odd {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        mut request: CallToolRequestParams,
        mut ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        if request.name == "process_large_file"
            && self.calls.fetch_add(1, Ordering::SeqCst) + 1 >= self.call
        {
            match self.oddity {
                Oddity::Quick => {
                    let arguments = request.arguments.get_or_insert_default();
                    arguments.insert("processing_time".to_owned(), 1.into());
                }
                Oddity::Silent => ctx.meta = RequestMetaObject::default(),
                Oddity::Deaf => ctx.ct = CancellationToken::new(),
                Oddity::Restless => {
                    ctx.ct = CancellationToken::new();
                    let stop = ctx.ct.clone();
                    tokio::spawn(async move {
                        sleep(Duration::from_millis(3 * TICK)).await;
                        stop.cancel();
                    });
                }
            }
        }
        next.call_tool(request, ctx).boxed()
    }
}

/// The chapter ends with that sentence when its calls from this number on are odd.
fn notices(chapter: &str, call: u32, oddity: Oddity, sentence: &str) {
    let chapter = LESSON.chapters.iter().find(|each| each.name == chapter).unwrap();
    for protocol in [Protocol::V2025, Protocol::V2026] {
        let error = paused(async {
            let setup = setup(TICK);
            let stop = setup.stop.clone();
            let odd = Odd { call, oddity, calls: AtomicU32::default() };
            let server = Server::new(FileServer::new(setup)).with(odd);
            let mut stage = Stage::piped(server, Between::default(), stop, protocol);
            stage.tick = Duration::from_millis(TICK);
            (chapter.story)(&stage).await.unwrap_err()
        });
        let error = format!("{error:#}");
        assert!(error.contains(sentence), "{error}");
    }
}

#[test]
fn notices_a_call_that_ends_before_its_timeout() {
    notices("drop", 2, Oddity::Quick, "tokio's timeout did not come first");
}

#[test]
fn notices_a_server_that_is_not_told_of_tokios_timeout() {
    notices("drop", 2, Oddity::Deaf, "tokio's timeout did not reach the server");
}

#[test]
fn notices_work_that_ends_with_its_handle() {
    notices("drop", 3, Oddity::Restless, "the work did not go on when the handle was dropped");
}

#[test]
fn notices_a_call_that_ends_before_its_deadline() {
    notices("deadline", 1, Oddity::Quick, "the deadline did not end the wait");
}

#[test]
fn notices_a_server_that_is_not_told_of_the_deadline() {
    notices("deadline", 1, Oddity::Deaf, "the deadline did not reach the server");
}

#[test]
fn notices_a_call_that_ends_although_it_should_outlive_its_deadline() {
    notices("deadline", 2, Oddity::Quick, "progress did not carry the call past its deadline");
}

#[test]
fn notices_progress_that_does_not_come() {
    notices("deadline", 2, Oddity::Silent, "progress did not carry the call past its deadline");
}

#[test]
fn notices_a_call_that_ends_before_its_hard_cap() {
    notices("deadline", 3, Oddity::Quick, "the hard cap did not end the wait");
}

#[test]
fn notices_a_server_that_is_not_told_of_the_hard_cap() {
    notices("deadline", 3, Oddity::Deaf, "the hard cap did not reach the server");
}

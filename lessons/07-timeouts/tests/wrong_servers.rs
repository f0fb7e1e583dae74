//! Servers and clients that only this lesson has reason to fear.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use course::lesson::Protocol;
use course::stage::Stage;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ListToolsResult, PaginatedRequestParams,
    RequestMetaObject, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use shared::server::{FileServer, Setup};
use testing::hosted::{Hosted, setup};
use timeouts::{LESSON, idle};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const TICK: Duration = Duration::from_millis(50);

/// What is odd about a call.
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

/// The common server, with one odd call.
#[derive(Clone)]
struct Odd {
    server: FileServer,
    /// The first, the second or the third.
    call: u32,
    oddity: Oddity,
    calls: Arc<AtomicU32>,
}

impl ServerHandler for Odd {
    async fn call_tool(
        &self,
        mut request: CallToolRequestParams,
        mut ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if request.name == "process_large_file"
            && self.calls.fetch_add(1, Ordering::SeqCst) + 1 == self.call
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
                        sleep(TICK * 3).await;
                        stop.cancel();
                    });
                }
            }
        }
        self.server.call_tool(request, ctx).await
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.server.get_tool(name)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        self.server.list_tools(request, ctx).await
    }
}

/// The chapter ends with that sentence when its call of this number is odd.
async fn fails(chapter: &str, call: u32, oddity: Oddity, sentence: &str) {
    for protocol in [Protocol::V2025, Protocol::V2026] {
        let server = FileServer::new(Setup { tick: TICK, ..setup(0) });
        let server = Odd { server, call, oddity, calls: Arc::default() };
        let server = Hosted::start(server).await;
        let mut lesson = Stage::over_http(&server.url, protocol);
        lesson.tick = TICK;
        let chapter = LESSON.chapters.iter().find(|each| each.name == chapter).unwrap();
        let error = (chapter.story)(&lesson).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(sentence), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_call_that_ends_before_its_timeout() {
    fails("drop", 2, Oddity::Quick, "tokio's timeout did not come first").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_server_that_is_not_told_of_tokios_timeout() {
    fails("drop", 2, Oddity::Deaf, "tokio's timeout did not reach the server").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_work_that_ends_with_its_handle() {
    fails("drop", 3, Oddity::Restless, "the work did not go on when the handle was dropped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_call_that_ends_before_its_deadline() {
    fails("deadline", 1, Oddity::Quick, "the deadline did not end the wait").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_call_that_ends_although_it_should_outlive_its_deadline() {
    fails("deadline", 2, Oddity::Quick, "progress did not carry the call past its deadline").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_progress_that_does_not_come() {
    fails("deadline", 2, Oddity::Silent, "progress did not carry the call past its deadline").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_call_that_ends_before_its_hard_cap() {
    fails("deadline", 3, Oddity::Quick, "the hard cap did not end the wait").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_server_that_is_not_told_of_the_hard_cap() {
    fails("deadline", 3, Oddity::Deaf, "the hard cap did not reach the server").await;
}

/// How the chapter `idle` ends with sessions that may be silent so long.
async fn idle_with(keep_alive: Duration) -> String {
    let mut lesson = Stage::over_http("", Protocol::V2025);
    lesson.tick = Duration::from_millis(200);
    let error = Box::pin(idle::idle(&lesson, keep_alive)).await.unwrap_err();
    format!("{error:#}")
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_session_that_is_never_closed() {
    let error = idle_with(Duration::from_secs(3600)).await;
    assert!(error.contains("the caller of the silent call was told: Some(Ok("), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_session_that_is_closed_between_two_steps() {
    let error = idle_with(Duration::from_millis(100)).await;
    assert!(error.contains("progress did not keep the session open: the call cancel"), "{error}");
}

/// Clients that a user cannot stop, as shell scripts.
#[cfg(unix)]
mod stubborn {
    use timeouts::ctrl_c::{once, twice};
    use timeouts::program::Program;
    use tokio::process::Command;

    /// A client that does this at its first Ctrl-C, and that at its second.
    fn client(first: &str, second: &str) -> Program {
        let script = format!(
            "n=0
            trap 'n=$((n + 1)); if [ $n = 1 ]; then {first}; else {second}; fi' INT
            echo 'Ctrl-C stops it'
            tenths=0
            while [ $tenths -lt 200 ]; do tenths=$((tenths + 1)); sleep 0.1; done"
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]);
        Program::start(shell).unwrap()
    }

    #[tokio::test]
    async fn notices_one_press_without_an_end() {
        let error = once(client("echo the server says nothing", ":")).await.unwrap_err();
        assert!(format!("{error:#}").starts_with("one Ctrl-C did not end the client"), "{error:#}");
    }

    #[tokio::test]
    async fn notices_one_press_that_fails() {
        let error = once(client("echo the server says no; exit 3", ":")).await.unwrap_err();
        assert!(error.to_string().contains("one Ctrl-C ended the client with"), "{error:#}");
    }

    #[tokio::test]
    async fn notices_two_presses_without_an_end() {
        let error = twice(client("echo Ctrl-C again leaves", ":")).await.unwrap_err();
        assert!(format!("{error:#}").starts_with("two Ctrl-C did not end the client"), "{error:#}");
    }

    #[tokio::test]
    async fn notices_a_second_press_that_takes_its_time() {
        let slow = client("echo Ctrl-C again leaves", "sleep 2; exit 1");
        let error = twice(slow).await.unwrap_err();
        assert!(error.to_string().contains("the second Ctrl-C ended the client only"), "{error:#}");
    }

    #[tokio::test]
    async fn notices_a_second_press_that_claims_success() {
        let error = twice(client("echo Ctrl-C again leaves", "exit 0")).await.unwrap_err();
        assert!(error.to_string().contains("claims success"), "{error:#}");
    }
}

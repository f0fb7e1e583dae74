//! The story passes wherever it can be told, and fails, by its own sentence, against servers
//! that are wrong on purpose. A server that never tells its tools of a cancel is played by the
//! README's second command. The named bugs stay away.

use std::time::Duration;

use cleanup::LESSON;
use cleanup::resources::{PERMITS, Resources};
use cleanup::tools::ExportServer;
use course::lesson::Lesson;
use course::stage::Stage;
use futures::future::BoxFuture;
use hosting::layer::{Layer, Server};
use rmcp::model::{CallToolRequestParams, CallToolResponse};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use shared::calls::State;
use shared::client::{Client, patient, tool_call};
use shared::server::Setup;
use testing::hosted::setup;
use testing::layers::Swap;
use testing::story::{ending, paused};
use tokio::time::timeout;

testing::passes_on!("cleanup", "--tick 100ms", http_2026 stdio_2025 stdio_2026);
testing::readme_shows_real_output!("cleanup", Some("100ms"));

// The check of the exercise is right about the stub, a solution and wrong answers.
testing::judges!(cleanup::export:
    blocks deaf empty_report ends_as_failed gives_back_too_much keeps_the_file keeps_the_lease
    keeps_the_lease_on_failure keeps_the_permit no_flush no_lease panics);

/// Changes what the inventory says.
struct Lie(fn(&mut Value));

impl Layer for Lie {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        let asked = request.name == "inventory";
        let answer = next.call_tool(request, ctx);
        Box::pin(async move {
            let mut answer = answer.await?;
            if let CallToolResponse::Complete(result) = &mut answer
                && let Some(held) = result.structured_content.as_mut().filter(|_| asked)
            {
                (self.0)(held);
            }
            Ok(answer)
        })
    }
}

/// Drops a cancelled call in place of telling the tool, as a timeout around it would.
struct Drops(&'static str);

impl Layer for Drops {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        let (cancelled, concerned) = (ctx.ct.clone(), request.name == self.0);
        let call = next.call_tool(request, ctx);
        Box::pin(async move {
            tokio::select! {
                biased;
                () = cancelled.cancelled(), if concerned => Err(ErrorData::internal_error("dropped", None)),
                answer = call => answer,
            }
        })
    }
}

/// The story against this server ends with that sentence, in both revisions.
fn ends_with(server: fn(Setup) -> anyhow::Result<Server>, sentence: &str) {
    let lesson = Lesson { server, ..LESSON };
    for protocol in LESSON.protocols {
        let ending = ending(&lesson, *protocol, None, 100);
        assert!(ending.contains(sentence), "{protocol}: not {sentence:?}, but: {ending}");
    }
}

fn exports(setup: Setup) -> anyhow::Result<Server> {
    Ok(Server::new(ExportServer::new(setup)?))
}

#[test]
fn notices_a_tool_that_leaks_when_cancelled() {
    ends_with(
        |setup| Ok(exports(setup)?.with(Swap("export", "export_leaky"))),
        "export leaks: cancelled, the server holds 3 of 4 permits free; files: 1 unfinished",
    );
}

#[test]
fn notices_a_half_written_report() {
    const SHOWN: fn(&mut Value) = |held| {
        if held["unfinished"] != json!([]) {
            held["finished"] = held["unfinished"].take();
            held["unfinished"] = json!([]);
        }
    };
    ends_with(
        |setup| Ok(exports(setup)?.with(Lie(SHOWN))),
        "export shows a half-written report under its name",
    );
}

#[test]
fn notices_a_report_that_is_not_left_behind() {
    const LOST: fn(&mut Value) = |held| held["finished"] = json!([]);
    ends_with(
        |setup| Ok(exports(setup)?.with(Lie(LOST))),
        "export did not leave its report and nothing else",
    );
}

#[test]
fn notices_that_the_leak_does_not_show() {
    ends_with(
        |setup| Ok(exports(setup)?.with(Swap("export_leaky", "export"))),
        "the leak did not show",
    );
}

#[test]
fn notices_that_the_leak_has_no_consequence() {
    ends_with(|setup| Ok(exports(setup)?.with(Innocent)), "the leak had no consequence");
}

/// Repairs before it serves the innocent caller.
struct Innocent;

impl Layer for Innocent {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        mut request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        let report = request.arguments.as_ref().and_then(|arguments| arguments.get("report"));
        if report.is_some_and(|report| report == "innocent") {
            request.name = "repair".into();
        }
        Box::pin(next.call_tool(request, ctx))
    }
}

#[test]
fn notices_a_tool_that_holds_no_lease() {
    ends_with(
        |setup| Ok(exports(setup)?.with(Swap("export_leased", "export"))),
        "export_leased does not hold what it should while it works",
    );
}

/// `Drop` gives back the permit and the file. Nobody gives back the lease.
#[test]
fn notices_a_tool_that_is_dropped_and_not_told() {
    ends_with(
        |setup| Ok(exports(setup)?.with(Drops("export_leased"))),
        "export_leased leaks: cancelled, the server holds 4 of 4 permits free; \
         files: 0 unfinished, 0 finished; leases: 1",
    );
}

/// Both good tools at once, cancelled at another moment each time.
#[test]
fn nothing_is_left_round_after_round() {
    paused(async {
        let setup = setup(3);
        let stage = Stage::in_process(LESSON.server, setup, LESSON.protocols[0], None).unwrap();
        let client = stage.connect().await.unwrap();
        let nothing = inventory(&client).await;
        for round in testing::soak(50) {
            let mut handles = Vec::new();
            for (tool, report) in
                [("export", "a"), ("export", "a"), ("export_leased", "a"), ("export_leased", "b")]
            {
                let call = tool_call(tool, json!({ "report": report, "steps": 1000 }));
                handles.push(client.send_cancellable_request(call, patient()).await.unwrap());
            }
            tokio::time::sleep(Duration::from_millis(round.into())).await;
            for handle in handles {
                handle.cancel(None).await.unwrap();
            }
            let calls = client.ask_until_all_ended().await.unwrap();
            assert!(calls.iter().all(|call| call.state == State::Cancelled), "round {round}");
            assert_eq!(inventory(&client).await, nothing, "round {round}");
        }
    });
}

async fn inventory(client: &Client) -> Value {
    client.call("inventory", Value::Null).await.unwrap().structured_content.unwrap()
}

/// What another client has left behind is not held against the server.
#[test]
fn a_server_that_is_not_fresh_is_not_accused() {
    let error = paused(async {
        let stage = Stage::in_process(LESSON.server, setup(0), LESSON.protocols[0], None).unwrap();
        let client = stage.connect().await.unwrap();
        client.call("export", json!({ "report": "report" })).await.unwrap();
        cleanup::story(&stage).await.unwrap_err().to_string()
    });
    let sentence =
        "the server is not fresh, start a new one: 4 of 4 permits free; files: 0 unfinished, 1";
    assert!(error.starts_with(sentence), "{error}");
}

/// A repair while an export runs once added the permit that the export still held: 5 of 4 were
/// free, and the next repair panicked.
#[test]
fn repair_gives_back_no_permit_that_is_still_held() {
    paused(async {
        let held = Resources::new().unwrap();
        held.try_permit().unwrap().forget();
        let (running, permit) = (held.begin_export().unwrap(), held.try_permit().unwrap());
        let mut repair = tokio::spawn({
            let held = held.clone();
            async move { held.repair().await }
        });
        let early = timeout(Duration::from_secs(1), &mut repair).await;
        drop((running, permit));
        assert!(early.is_err(), "repaired while an export ran: {:?}", held.inventory().await);
        repair.await.unwrap().unwrap();
        assert_eq!(held.inventory().await.unwrap().permits_free, PERMITS);
        held.repair().await.unwrap();
        assert_eq!(held.inventory().await.unwrap().permits_free, PERMITS);
    });
}

/// Temporary files once had one name per report. An export that had been published then removed
/// the file of the next one.
#[tokio::test]
async fn an_export_removes_only_its_own_file() {
    let held = Resources::new().unwrap();
    let (first, second) =
        (held.unfinished("r").await.unwrap(), held.unfinished("r").await.unwrap());
    first.publish().await.unwrap();
    let third = held.unfinished("r").await.unwrap();
    drop(second);
    let now = held.inventory().await.unwrap();
    assert_eq!((now.finished.len(), now.unfinished.len()), (1, 1));
    third.publish().await.unwrap();
    let now = held.inventory().await.unwrap();
    assert_eq!((now.finished.len(), now.unfinished.len()), (1, 0));
}

#[test]
fn a_name_that_is_a_path_is_refused() {
    paused(async {
        let stage = Stage::in_process(LESSON.server, setup(0), LESSON.protocols[0], None).unwrap();
        let client = stage.connect().await.unwrap();
        let call = client.call("export", json!({ "report": "../x" })).await;
        let error = format!("{:#}", call.unwrap_err());
        assert!(error.contains("report must be 1 to 64 letters"), "{error}");
    });
}

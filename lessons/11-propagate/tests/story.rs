//! The story passes on every way it names, leaves no process behind, and ends by its own
//! sentence against servers that are wrong on purpose.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use course::lesson::Protocol;
use course::stage::{BRIEF_PATIENCE, Stage};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use hosting::between::Between;
use hosting::layer::{Layer, Server};
use propagate::chain::{Chain, picture};
use propagate::database::ARGUMENT;
use propagate::server::ReportServer;
use rmcp::model::{CallToolRequestParams, CallToolResponse};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use shared::stop::Stop;
use testing::hosted::{Hosted, setup};
use testing::raw::{BOTH, in_time};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use wrong::Wrong;

testing::passes_on!("propagate", "--tick 100ms", http_2026 stdio_2025 stdio_2026);
testing::readme_shows_real_output!("propagate", Some("100ms"));

const TICK: Duration = Duration::from_millis(100);

fn server() -> Server {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_propagate"));
    Server::new(ReportServer::new(setup(100), program).unwrap())
}

async fn hosted(server: Server) -> Hosted {
    Hosted::host(server, Stop::default(), Between::default()).await
}

fn stage(server: &Hosted, protocol: Protocol) -> Stage {
    let mut stage = Stage::over_http(&server.url, protocol);
    stage.tick = TICK;
    stage
}

/// All database processes there are: id and command line, which names the database.
fn processes() -> HashMap<u32, String> {
    let table = Command::new("ps").args(["-A", "-o", "pid=", "-o", "args="]).output().unwrap();
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    let rows = table.lines().filter_map(|row| row.trim().split_once(' '));
    let ours = rows.filter(|(_, command)| command.contains(ARGUMENT));
    ours.map(|(pid, command)| (pid.parse().unwrap(), command.to_owned())).collect()
}

/// `serve`, and `client` twice: the second finds what the first has left. All parts of the story,
/// the fifty cancels among them, leave nothing at work.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_cancels_leave_one_database_process_and_the_end_leaves_none() {
    join_all(BOTH.map(async |protocol| {
        let server = hosted(server()).await;
        let chain = Chain::of(&stage(&server, protocol)).await.unwrap();
        propagate::parts(&chain).await.unwrap();
        let second = Chain::of(&stage(&server, protocol)).await.unwrap();
        propagate::one_cancel(&second).await.unwrap();
        assert_eq!(second.service.open(), 0);
        second.client.close().await.unwrap();

        let left = chain.look("").await.unwrap();
        assert_eq!((left.queries, left.streams, chain.service.open()), (0, 0, 0));
        let table = processes();
        let ours = table.get(&left.pid).expect("the database process is in the table");
        assert_eq!(table.values().filter(|command| *command == ours).count(), 1, "{table:?}");

        chain.client.close().await.unwrap();
        server.stop.now();
        server.hosting.await.unwrap().unwrap();
        in_time("the end of the database process", async {
            while processes().contains_key(&left.pid) {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }))
    .await;
}

/// Nobody could stop a commit of years.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_rows_has_an_end() {
    let server = hosted(server()).await;
    let client = stage(&server, Protocol::V2025).connect().await.unwrap();
    for tool in ["publish", "research", "research_carelessly"] {
        for rows in [json!(0), json!(10_001), json!(u32::MAX), json!(1.5)] {
            let arguments = json!({ "rows": rows, "url": "http://127.0.0.1:1/" });
            let refused = client.call(tool, arguments).await.unwrap_err();
            let (refused, allowed) = (format!("{refused:#}"), "a whole number from 1 to 10000");
            let wanted = format!("rows must be {allowed}, not {rows}");
            assert!(refused.contains(&wanted), "{tool}: {refused}");
        }
    }
}

/// One call may fail with the process. The server needs no restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_process_that_died_is_started_again() {
    let server = hosted(server()).await;
    let chain = Chain::of(&stage(&server, Protocol::V2025)).await.unwrap();
    let died = chain.look("").await.unwrap().pid;
    assert!(Command::new("kill").args(["-9", &died.to_string()]).status().unwrap().success());
    in_time("another database process", async {
        while chain.look("").await.map_or(died, |status| status.pid) == died {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    chain.client.close().await.unwrap();
}

/// A plan runs several calls under one trace. This one's query has heard, and has not stopped yet.
#[test]
fn the_stop_of_an_earlier_step_is_none_of_this_one() {
    let note = |hop, event, at| json!({ "trace": "", "hop": hop, "event": event, "at": at });
    let [earlier, cancel, later] = [0, 1, 2].map(|s| format!("2026-01-01T00:00:0{s}Z"));
    let mut notes = vec![note("query", "stopped", &earlier), note("query", "heard", &later)];
    notes.extend(["server", "fetch", "service"].map(|hop| note(hop, "stopped", &later)));
    let notes = serde_json::from_value::<Vec<_>>(json!(notes)).unwrap();
    let complaint = picture(&notes, cancel.parse().unwrap()).unwrap_err().to_string();
    assert_eq!(complaint, "query noted no stop");
}

/// This part of the story ends with that sentence against this server. Both revisions are played
/// at once: some of the endings are that nothing comes.
macro_rules! notices {
    ($($test:ident: $part:ident, $server:expr, $sentence:literal;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let ending = async |protocol| {
                    let server = hosted($server).await;
                    let mut stage = stage(&server, protocol);
                    stage.patience = BRIEF_PATIENCE;
                    let chain = Chain::of(&stage).await.unwrap();
                    format!("{:#}", propagate::$part(&chain).await.unwrap_err())
                };
                for ending in join_all(BOTH.map(ending)).await {
                    assert!(ending.contains($sentence), "not {:?}, but: {ending}", $sentence);
                }
            }
        )+
    };
}

notices! {
    a_hop_that_does_not_pass_the_cancel_on:
        one_cancel, Wrong::Deaf.tools(server()), "the cancel did not reach the bottom";
    a_lost_trace:
        one_cancel, server().with(Flaw::Traceless), "each hop notes its stop under trace";
    a_sibling_that_runs_on:
        siblings, server().with(Flaw::Unrelated), "its sibling ran on";
    that_nothing_was_forgotten:
        forgotten, server().with(Flaw::Careful), "research_carelessly passed the cancel on";
    a_commit_that_is_cut:
        shielded, server().with(Flaw::Cut), "the commit was cut in the middle: 5 of 10 rows";
    a_commit_that_is_denied:
        shielded, server().with(Flaw::Liar), "the rows are published, but the list";
}

/// A server that is wrong in one way.
#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    /// Its branches know nothing of one another: one fails, the other runs on.
    Unrelated,
    /// Its commit is two commits, and it looks at the token between them.
    Cut,
    /// It says that what it has finished was cancelled.
    Liar,
    /// It loses the trace context.
    Traceless,
    /// It cleans up behind the careless tool before that hears of its cancel.
    Careful,
}

impl Layer for Flaw {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        self.call(next, request, ctx).boxed()
    }
}

impl Flaw {
    async fn call(
        self,
        next: &Server,
        mut request: CallToolRequestParams,
        mut ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let mut arguments = json!(request.arguments);
        match (self, &*request.name) {
            (Flaw::Unrelated, "research") => {
                let url = arguments["url"].as_str().unwrap();
                if url.ends_with("nothing/here") {
                    arguments["url"] = json!(url.replace("nothing/here", "lines/10000"));
                    let (other, running, mut own) =
                        (tool("research", &arguments), next.clone(), ctx.clone());
                    own.ct = CancellationToken::new();
                    tokio::spawn(async move { running.call_tool(other, own).await });
                    until_queries(next, &ctx, 1).await;
                }
            }
            (Flaw::Cut, "publish") => {
                let half = tool("publish", &json!({ "rows": 5 }));
                next.call_tool(half.clone(), ctx.clone()).await?;
                // However busy this machine is, the cancel comes between the two.
                ctx.ct.cancelled().await;
                request = half;
            }
            (Flaw::Liar, "list_calls") => {
                let CallToolResponse::Complete(mut list) = next.call_tool(request, ctx).await?
                else {
                    panic!("not a list of calls");
                };
                let text = list.structured_content.take().unwrap().to_string();
                let text = text.replace("finished", "cancelled");
                list.structured_content = serde_json::from_str(&text).unwrap();
                return Ok(list.into());
            }
            (Flaw::Traceless, "research") => {
                ctx.meta.remove("traceparent");
            }
            (Flaw::Careful, "research_carelessly") => {
                let (asked, told) = (ctx.ct.clone(), CancellationToken::new());
                let asking = ctx.clone();
                ctx.ct = told.clone();
                let clean = async {
                    asked.cancelled().await;
                    next.call_tool(tool("sweep", &json!({})), asking.clone()).await.unwrap();
                    until_queries(next, &asking, 0).await;
                    told.cancel();
                };
                return tokio::join!(next.call_tool(request, ctx), clean).0;
            }
            _ => {}
        }
        next.call_tool(request, ctx).await
    }
}

fn tool(name: &'static str, arguments: &Value) -> CallToolRequestParams {
    CallToolRequestParams::new(name).with_arguments(arguments.as_object().unwrap().clone())
}

/// Waits until the database process has so many queries at work.
async fn until_queries(server: &Server, ctx: &RequestContext<RoleServer>, count: u64) {
    loop {
        let look = server.call_tool(tool("look", &json!({})), ctx.clone()).await;
        let Ok(CallToolResponse::Complete(status)) = look else { panic!("{look:?}") };
        if status.structured_content.unwrap()["queries"] == count {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

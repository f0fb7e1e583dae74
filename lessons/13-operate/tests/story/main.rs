//! The story passes on every way it names, and ends with its own sentence against a server that
//! is wrong on purpose. The module `load` makes many calls at once.

mod load;

use axum::Router;
use axum::routing::get;
use futures::FutureExt;
use futures::future::BoxFuture;
use hosting::layer::{Layer, Server};
use hosting::{Door, Site, host};
use operate::tools::OperatedServer;
use rmcp::model::{CallToolRequestParams, CallToolResponse};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use shared::server::FileServer;
use shared::stop::Stop;
use testing::hosted::setup;
use testing::story::{HTTP_2025, HTTP_2026, Program, STDIO_2025, STDIO_2026};

testing::passes_on!("operate", "--tick 50ms", http_2026 stdio_2025 stdio_2026);
testing::readme_shows_real_output!("operate", Some("50ms"));

const OPERATE: Program = Program(env!("CARGO_BIN_EXE_operate"));

/// Against this server the chapter fails with this sentence.
macro_rules! notices {
    ($($test:ident: $way:expr, $options:literal, $sentence:literal;)+) => {
        $(
            #[test]
            fn $test() {
                OPERATE.fails($way, concat!($options, " --tick 50ms"), $sentence);
            }
        )+
    };
}

#[test]
fn a_server_that_ends_without_a_word() {
    // On HTTP 2025-11-25 rmcp's client tries to resume the stream, and waits: see the README.
    for way in [HTTP_2026, STDIO_2025, STDIO_2026] {
        OPERATE.fails(way, "shutdown --wrong abrupt --tick 50ms", "was not told, but cut off");
    }
}

notices! {
    a_server_whose_end_looks_like_a_crash: HTTP_2026, "shutdown --wrong alarming",
        "the server did not end well, but with exit status: 1";
    a_server_that_waits_for_ever: HTTP_2026, "shutdown --wrong patient",
        "the caller of deaf still waits, 2s after SIGTERM";
    a_server_that_ignores_the_second_signal: STDIO_2025, "twice --wrong patient",
        "a second signal was ignored";
    a_server_whose_log_blames_the_healthy: HTTP_2025, "shutdown --wrong deaf",
        "the log should tell of 3 calls that were cancelled and 1 that was aborted";
    numbers_of_a_deaf_server: HTTP_2025, "metrics --wrong deaf",
        "calls still run, though their callers have cancelled them";
    numbers_of_a_server_that_forgets_the_cause: HTTP_2025, "metrics --wrong forgetful",
        "mcp_calls_cancelled_total{cause=\"notification\"} grew by 0, not by 10";
    a_deaf_server_does_not_stop_for_the_operator: HTTP_2026, "stop --wrong deaf",
        "did not stop for the operator";
    an_operators_stop_that_hits_all: HTTP_2025, "stop --wrong clumsy",
        "the operator's stop hit another call too";
    an_operators_stop_without_its_cause: HTTP_2026, "stop --wrong forgetful",
        "did not stop for the operator";
}

/// The chapter fails with this sentence against this server.
async fn fails_against(server: Server, beside: Router, chapter: &'static str, sentence: &str) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = format!("{HTTP_2025} {chapter} --url http://{}/mcp", listener.local_addr().unwrap());
    let site = Site { beside, ..Site::new(Door::Http(listener), Stop::default()) };
    tokio::spawn(host(server, site));
    let sentence = sentence.to_owned();
    let played = tokio::task::spawn_blocking(move || OPERATE.fails(&way, "", &sentence));
    played.await.unwrap();
}

/// Somebody else's server, whose numbers have other names.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_other_numbers() {
    let server = Server::new(FileServer::new(setup(50)));
    let beside = Router::new().route("/metrics", get(async || "up 1\n"));
    let sentence = "/metrics does not tell of mcp_calls_running";
    fails_against(server, beside, "metrics", sentence).await;
}

/// Writes down a stop by the operator as if the client had cancelled.
struct Blames;

impl Layer for Blames {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        async move {
            let mut answer = next.call_tool(request, ctx).await?;
            if let CallToolResponse::Complete(result) = &mut answer
                && let Some(list) = &mut result.structured_content
            {
                *list =
                    list.to_string().replace("\"operator\"", "\"notification\"").parse().unwrap();
            }
            Ok(answer)
        }
        .boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_blames_the_client() {
    let setup = setup(50);
    let beside = page::routes("operate", "", setup.calls.clone(), setup.stop.clone());
    let server = Server::new(OperatedServer::new(setup)).with(Blames);
    let sentence = "has the cause notification, and not operator";
    fails_against(server, beside, "stop", sentence).await;
}

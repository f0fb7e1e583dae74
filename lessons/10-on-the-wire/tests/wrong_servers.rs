//! Servers that other people run, and that only this lesson sees through.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use course::lesson::Protocol;
use course::stage::Stage;
use on_the_wire::LESSON;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use shared::server::FileServer;
use testing::hosted::setup;
use tokio::net::TcpListener;

/// The common server as rmcp hosts it when nobody thinks of a cancelled call's end.
fn stock() -> Router {
    let server = FileServer::new(setup(100));
    let sessions = Arc::new(LocalSessionManager::default());
    let config = StreamableHttpServerConfig::default();
    let mcp = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
    Router::new().route_service("/mcp", mcp)
}

/// Plays a chapter against this server, and returns its complaint.
async fn complaint(chapter: &str, server: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let hosting = tokio::spawn(axum::serve(listener, server).into_future());
    let lesson = Stage::over_http(url, Protocol::V2025);
    let chapter = LESSON.chapters.iter().find(|each| each.name == chapter).unwrap();
    let complaint = (chapter.story)(&lesson).await.unwrap_err();
    hosting.abort();
    format!("{complaint:#}")
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_call_that_ends_without_a_word() {
    let complaint = complaint("session", stock()).await;
    assert_eq!(complaint, "the stream ended without an answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_notification_that_is_not_accepted() {
    let picky = stock().layer(map_response(async |response: Response| {
        if response.status() == StatusCode::ACCEPTED {
            return StatusCode::NO_CONTENT.into_response();
        }
        response
    }));
    let complaint = complaint("quick", picky).await;
    assert_eq!(complaint, "a notification was answered with status 204 No Content");
}

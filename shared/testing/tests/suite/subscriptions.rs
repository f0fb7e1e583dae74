//! Subscriptions (2026-07-28, *basic/utilities/subscriptions*): the one long request that a server
//! may end itself. The lessons' servers have none. What hosts them lets such a server be cancelled
//! and stopped like any other.

use std::sync::Arc;
use std::time::Duration;

use course::lesson::Protocol::V2026;
use hosting::between::Between;
use hosting::layer::Server;
use rmcp::model::{ServerCapabilities, ServerConfig, SubscriptionFilter};
use rmcp::service::SubscriptionContext;
use rmcp::{ErrorData, ServerHandler};
use serde_json::{Value, json};
use shared::stop::Stop;
use testing::hosted::{Hosted, common_server};
use testing::raw::{CANCELLED, Events, RawClient, in_time, notification, request};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, split};
use tokio::sync::Notify;

const LISTEN: &str = "subscriptions/listen";

/// A server with subscriptions. It ends one when the test says so, and says when one is cancelled.
#[derive(Clone, Default)]
struct Source {
    end: Arc<Notify>,
    cancelled: Arc<Notify>,
}

impl ServerHandler for Source {
    fn get_info(&self) -> ServerConfig {
        let tools = ServerCapabilities::builder().enable_tools().enable_tool_list_changed();
        ServerConfig::new(tools.build())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, ctx: SubscriptionContext) -> Result<(), ErrorData> {
        tokio::select! {
            () = ctx.cancelled() => self.cancelled.notify_one(),
            () = self.end.notified() => {}
        }
        Ok(())
    }
}

fn wanted() -> Value {
    json!({ "notifications": { "toolsListChanged": true } })
}

fn is_acknowledged(message: &Value) -> bool {
    message["method"] == "notifications/subscriptions/acknowledged"
}

/// An open subscription over HTTP. Its id is 7.
async fn subscribed(server: &Hosted) -> Events {
    let client = RawClient::open(&server.url, V2026).await;
    let mut events = client.request(7, LISTEN, wanted()).await;
    let first = events.next().await.unwrap();
    assert!(is_acknowledged(&first), "{first}");
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_stream_ends_a_subscription() {
    let source = Source::default();
    let server = Hosted::start(source.clone()).await;
    drop(subscribed(&server).await);
    in_time("the end of the subscription", source.cancelled.notified()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_the_server_ends_has_a_result() {
    let source = Source::default();
    let server = Hosted::start(source.clone()).await;
    let events = subscribed(&server).await;
    source.end.notify_one();
    let answer = events.answer().await;
    assert_eq!(answer["id"], 7, "{answer}");
    assert!(answer["result"].is_object(), "{answer}");
}

/// The stream ends too, and the only request that the server may cancel is the subscription.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_subscription_does_not_hold_up_a_stop() {
    // Longer than a test waits.
    let stop = Stop::with_grace(Duration::from_secs(60));
    let server = Hosted::host(Server::new(Source::default()), stop, Between::default()).await;
    let events = subscribed(&server).await;
    server.stop.now();
    let rest = events.rest().await;
    in_time("the end of the hosting", server.hosting).await.unwrap().unwrap();
    let cancelled = rest.iter().filter(|message| message["method"] == CANCELLED);
    for message in cancelled {
        assert_eq!(message["params"]["requestId"], 7, "{rest:?}");
    }
}

/// A cancel is a message there, and nothing is said of the subscription after it.
#[tokio::test(flavor = "multi_thread")]
async fn on_stdio_a_cancel_ends_a_subscription_in_silence() {
    let source = Source::default();
    let server = Server::new(source.clone());
    let pipe = hosting::pipe(server, &Between::default(), Stop::default());
    let (hears, mut says) = split(pipe);
    let mut lines = BufReader::new(hears).lines();
    let mut say = async |message: Value| {
        says.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    };
    let mut next = async || {
        let line = in_time("a line", lines.next_line()).await.unwrap().unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    say(request(V2026, &json!(7), LISTEN, wanted())).await;
    assert!(is_acknowledged(&next().await));
    say(notification(CANCELLED, &json!({ "requestId": 7 }))).await;
    in_time("the end of the subscription", source.cancelled.notified()).await;
    say(request(V2026, &json!(8), "tools/list", json!({}))).await;
    assert_eq!(next().await["id"], 8, "something was said of a cancelled subscription");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lessons_servers_say_that_they_have_none() {
    let server = common_server(1).await;
    let client = RawClient::open(&server.url, V2026).await;
    let answer = client.ask(LISTEN, wanted()).await;
    assert_eq!(answer["error"]["code"], -32601, "{answer}");
    client.still_serves().await;
}

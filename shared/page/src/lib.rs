//! A page of a server's calls: what runs, live, with a button that stops it.
//!
//! `GET /` is one file, which needs nothing from elsewhere. It listens to `GET /calls`, a stream of
//! server-sent events, and its buttons send `POST /calls/NUMBER/stop`.
//!
//! There is no password: whoever sits at this machine may stop its calls. A page from elsewhere
//! may not, although it is open in a browser on this machine. `local` and `stop_call` see to that,
//! and the page itself may not be framed: a foreign page could lay its own button over ours
//! (clickjacking).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::stream::{StreamExt, once, unfold};
use serde::Serialize;
use shared::calls::{CallList, CallRecord, Calls};
use shared::stop::Stop;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// The header that a request to stop a call must carry, with any value.
pub const STOP_HEADER: &str = "x-csrf-protection";
/// How many streams of changes may be open at once.
pub const VIEWERS: usize = 32;
/// The time between two events of a stream: however fast the calls change, a browser keeps up.
const PACE: Duration = Duration::from_millis(100);
/// The same after a viewer has missed changes, and needs the whole list.
const CATCH_UP: Duration = Duration::from_secs(1);

/// What the page may do: run its own script and style, and talk to this server. Not be framed, and
/// (Trusted Types) not turn a text into HTML, should the script ever try.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
     img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'";

/// A server's page, its stream and its stop button, to stand beside the MCP endpoint. A page
/// without calls says how to make some: with the command `client`.
pub fn routes(server: &'static str, client: &str, calls: Calls, stop: Stop) -> Router {
    let (client, viewers) = (client.into(), Arc::new(Semaphore::new(VIEWERS)));
    Router::new()
        .route("/", get(page))
        .route("/calls", get(stream))
        .route("/calls/{number}/stop", post(stop_call))
        .layer(from_fn(local))
        .with_state(Page { server, client, calls, stop, viewers })
}

/// Other routes of the server, for this machine only as the page is.
pub fn local_only(routes: Router) -> Router {
    routes.layer(from_fn(local))
}

#[derive(Clone)]
struct Page {
    server: &'static str,
    client: Arc<str>,
    calls: Calls,
    stop: Stop,
    viewers: Arc<Semaphore>,
}

/// Refuses what does not come from this machine, or from this page.
///
/// - `Host`, against DNS rebinding: the foreign name `evil.example` is made to point to 127.0.0.1,
///   and for the browser our answers are then that page's own. But it still sends the foreign name.
/// - `Origin`, against cross-site requests: a browser tells there which page asks. It must be one of
///   this server's own. A server on another port of this machine is somebody else too.
async fn local(request: Request, next: Next) -> Response {
    match check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(why) => (StatusCode::FORBIDDEN, format!("{why}\n")).into_response(),
    }
}

fn check(headers: &HeaderMap) -> Result<(), &'static str> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.parse::<Authority>().ok();
    if !name.is_some_and(|name| ["localhost", "127.0.0.1", "[::1]"].contains(&name.host())) {
        return Err("this page is for this machine: open it as localhost or 127.0.0.1");
    }
    match headers.get(header::ORIGIN) {
        Some(origin) if *origin != format!("http://{host}") => {
            Err("this request comes from a foreign page: only the page of this server may send it")
        }
        _ => Ok(()),
    }
}

async fn page() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, include_str!("page.html"))
}

/// All calls, and then what changes, until the server stops.
async fn stream(State(page): State<Page>) -> Response {
    let Ok(place) = Arc::clone(&page.viewers).try_acquire_owned() else {
        let why = format!("{VIEWERS} pages are open, as many as there may be; close one\n");
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], why)
            .into_response();
    };
    let stop = page.stop.clone();
    let feed = Feed { page: page.clone(), changes: None, pause: Duration::ZERO, _place: place };
    // A stop ends the calls, and the stream tells how. So it ends when the server has settled.
    let settled = Box::pin(async move { stop.settled().await });
    let last = once(async move { Ok(page.snapshot(page.calls.list())) });
    let events = unfold(feed, Feed::next).take_until(settled).chain(last);
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

/// What one viewer gets: the list, and then, at a pace that it can follow, the calls that changed.
struct Feed {
    page: Page,
    /// None before the list was sent.
    changes: Option<Receiver<CallRecord>>,
    pause: Duration,
    _place: OwnedSemaphorePermit,
}

impl Feed {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        sleep(self.pause).await;
        let news = match &mut self.changes {
            Some(changes) => gather(changes).await,
            None => None,
        };
        let event = if let Some(calls) = news {
            self.pause = PACE;
            event("changes", &CallList { calls })
        } else {
            let (list, changes) = self.page.calls.follow();
            let first = self.changes.replace(changes).is_none();
            self.pause = if first { PACE } else { CATCH_UP };
            self.page.snapshot(list)
        };
        Some((Ok(event), self))
    }
}

/// The calls that have changed, each once, as it stands now. None if some changes were missed.
async fn gather(changes: &mut Receiver<CallRecord>) -> Option<Vec<CallRecord>> {
    let first = changes.recv().await.ok()?;
    let mut calls = BTreeMap::from([(first.call, first)]);
    loop {
        match changes.try_recv() {
            Ok(call) => calls.insert(call.call, call),
            Err(TryRecvError::Lagged(_)) => return None,
            Err(_) => return Some(calls.into_values().collect()),
        };
    }
}

impl Page {
    fn snapshot(&self, list: CallList) -> Event {
        event("snapshot", &Snapshot { server: self.server, client: &self.client, list })
    }
}

#[derive(Serialize)]
struct Snapshot<'a> {
    server: &'a str,
    client: &'a str,
    #[serde(flatten)]
    list: CallList,
}

fn event(name: &str, data: &impl Serialize) -> Event {
    // A list of calls is always JSON: it has no map whose keys are not strings.
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}

/// Tells a call to stop. Whether it stops is up to its tool, and is told on the stream.
///
/// [`STOP_HEADER`] is against requests without an `Origin`: there are browsers and extensions that
/// send the form of a foreign page without one. But a form cannot set a header. A script can; then
/// the browser asks us first (CORS preflight), and gets no leave.
async fn stop_call(
    State(page): State<Page>,
    Path(number): Path<String>,
    headers: HeaderMap,
) -> (StatusCode, String) {
    if !headers.contains_key(STOP_HEADER) {
        let why = format!("to stop a call, send the header `{STOP_HEADER}: 1` too\n");
        return (StatusCode::FORBIDDEN, why);
    }
    let known = number.parse::<u64>().ok().and_then(|number| {
        let stopped = page.calls.stop(number);
        let list = page.calls.list().calls;
        Some((stopped, list.into_iter().find(|call| call.call == number)?))
    });
    match known {
        Some((true, _)) => (StatusCode::ACCEPTED, format!("call {number} is told to stop\n")),
        Some((false, call)) => {
            let why = format!("call {number} has ended before: {:?}\n", call.state);
            (StatusCode::CONFLICT, why.to_lowercase())
        }
        None => {
            let why = format!("no call {number} here; GET /calls names the calls that are known\n");
            (StatusCode::NOT_FOUND, why)
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::BodyDataStream;
    use hosting::between::Between;
    use hosting::layer::Server;
    use rmcp::model::{ClientCapabilities, ProtocolVersion};
    use serde_json::json;
    use shared::client::{Client, tool_call};
    use shared::server::FileServer;
    use testing::hosted::setup;
    use testing::story::paused;

    use super::*;

    async fn next(events: &mut BodyDataStream) -> String {
        let event = events.next().await.unwrap().unwrap();
        String::from_utf8(event.to_vec()).unwrap()
    }

    #[test]
    fn a_viewer_that_has_missed_changes_gets_the_whole_list() {
        paused(async {
            let setup = setup(1);
            let viewers = Arc::new(Semaphore::new(1));
            let (calls, stop) = (setup.calls.clone(), setup.stop.clone());
            let page =
                Page { server: "test", client: "".into(), calls, stop: stop.clone(), viewers };
            let mut events = stream(State(page)).await.into_body().into_data_stream();
            assert!(next(&mut events).await.starts_with("event: snapshot\n"));

            let server = Server::new(FileServer::new(setup));
            let pipe = hosting::pipe(server, &Between::default(), stop);
            let revision = ProtocolVersion::V_2025_11_25;
            let client =
                Client::pipe_as(ClientCapabilities::default(), pipe, revision).await.unwrap();
            // More changes than are kept for a viewer, and nobody reads meanwhile.
            let steps = shared::calls::CAPACITY + 100;
            let call = json!({ "filename": "part_0.csv", "processing_time": steps });
            client.send_request(tool_call("process_large_file", call.clone())).await.unwrap();
            let whole = next(&mut events).await;
            assert!(whole.starts_with("event: snapshot\n"), "{whole}");
            assert!(whole.contains(&format!("\"steps_done\":{steps}")), "{whole}");
            assert!(whole.contains("\"state\":\"finished\""), "{whole}");

            // From here on, changes again.
            let one = json!({ "filename": "part_0.csv", "processing_time": 1 });
            client.send_request(tool_call("process_large_file", one)).await.unwrap();
            assert!(next(&mut events).await.starts_with("event: changes\n"));
        });
    }
}

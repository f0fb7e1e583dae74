//! A raw client: it sends what no SDK would, and records what comes.

mod http;
pub mod log;
pub mod stdio;

use std::process::ExitStatus;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::timeout;

use http::Http;
use log::{Event, Log};
use stdio::Process;

/// How long a server may take for an answer that needs no work.
pub const ANSWER: Duration = Duration::from_secs(5);
/// How long it may take for what is not judged, but without which nothing can be: a busy machine
/// starts slowly, and the first answers of some servers load half of their packages.
pub const FIRST_ANSWERS: Duration = Duration::from_secs(20);

/// How the server is reached.
#[derive(Debug, Clone)]
pub enum Place {
    Url(String),
    Command(Vec<String>),
}

/// A protocol revision. What matters is whether it has the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revision {
    /// 2025-11-25 and older.
    Handshake,
    /// 2026-07-28: each request stands for itself.
    Stateless,
}

impl Revision {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "2025-11-25",
            Self::Stateless => "2026-07-28",
        }
    }
}

/// Nobody there speaks MCP in this revision.
#[derive(Debug)]
pub struct NoServer {
    why: anyhow::Error,
    /// What a server that was started wrote to its standard error, last.
    pub stderr: Vec<String>,
}

impl std::error::Error for NoServer {}

impl std::fmt::Display for NoServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.why)
    }
}

/// A connection to a server, in one revision.
#[derive(Debug)]
pub struct Wire {
    pub log: Arc<Log>,
    pub revision: Revision,
    ids: AtomicI64,
    to: To,
    /// What the handshake has agreed on: an older server refuses requests that name another.
    agreed: OnceLock<String>,
    /// Answers what the server asks of us. Ends with the wire.
    manners: Option<tokio::task::AbortHandle>,
}

#[derive(Debug)]
enum To {
    Stdio(Mutex<Process>, Option<u32>),
    Http(Http),
}

/// A request that was sent.
#[derive(Debug, Clone)]
pub struct Request {
    pub id: Value,
    pub exchange: u32,
    /// The place of the request in the log.
    pub mark: usize,
}

impl Wire {
    /// Connects, and shakes hands if the revision has that.
    pub async fn open(place: &Place, revision: Revision) -> anyhow::Result<(Arc<Self>, Value)> {
        let log = Arc::new(Log::new());
        let to = match place {
            Place::Url(url) => To::Http(Http::new(url)?),
            Place::Command(command) => {
                let process = Process::start(command, &log)?;
                let id = process.id();
                To::Stdio(Mutex::new(process), id)
            }
        };
        // Each connection has a range of its own: a server lists the calls of all together.
        let range = uuid::Uuid::new_v4().as_u128() % 100_000;
        let ids = AtomicI64::new(i64::try_from(range)? * 10_000 + 1);
        let mut wire = Self { log, revision, ids, to, agreed: OnceLock::new(), manners: None };
        let hello = match wire.hello().await {
            Ok(hello) => hello,
            Err(why) => return Err(NoServer { why, stderr: wire.last_words().await }.into()),
        };
        let wire = Arc::new_cyclic(|weak: &std::sync::Weak<Self>| {
            let (log, weak) = (wire.log.clone(), weak.clone());
            let manners = tokio::spawn(async move {
                let mut next = 0;
                let asked = |frame: &log::Frame| {
                    let message = frame.received()?;
                    Some((message.get("id")?.clone(), message["method"].as_str()?.to_owned()))
                };
                loop {
                    let day = Duration::from_secs(86_400);
                    let mut seen = next;
                    let found = log
                        .first(next, day, |frame| {
                            seen += 1;
                            asked(frame)
                        })
                        .await;
                    next = seen;
                    let (Some((id, method)), Some(wire)) = (found, weak.upgrade()) else { return };
                    wire.send(&if method == "ping" {
                        json!({ "jsonrpc": "2.0", "id": id, "result": {} })
                    } else {
                        let error = json!({ "code": -32601, "message": "not offered here" });
                        json!({ "jsonrpc": "2.0", "id": id, "error": error })
                    });
                }
            });
            wire.manners = Some(manners.abort_handle());
            wire
        });
        Ok((wire, hello))
    }

    /// `initialize` or `server/discover`: what the server says of itself.
    async fn hello(&self) -> anyhow::Result<Value> {
        let patience = match self.to {
            // Starting an interpreter and its packages may take a while on a busy machine.
            To::Stdio(..) => Duration::from_secs(150),
            To::Http(_) => FIRST_ANSWERS,
        };
        let (method, params) = match self.revision {
            Revision::Handshake => (
                "initialize",
                json!({ "protocolVersion": self.revision.name(), "capabilities": {},
                    "clientInfo": { "name": "mcp-cancel-check", "version": "1" } }),
            ),
            Revision::Stateless => ("server/discover", json!({})),
        };
        let request = self.request(method, params);
        let answer = self.answer(&request, patience).await;
        let answer = answer.map_err(|why| {
            let hint = match self.status(&request) {
                Some(401 | 403) => "; the server wants to know who calls, and this tool cannot say",
                Some(_) => "; is the path right? most servers use /mcp",
                None => "",
            };
            anyhow!("{why:#}{hint}")
        })?;
        if let Some(error) = log::error(&answer) {
            bail!("the server refused `{method}`: {}", plain(&error["message"]));
        }
        let result = answer["result"].clone();
        match self.revision {
            Revision::Handshake => {
                let agreed = result["protocolVersion"].as_str();
                let agreed = agreed.context("`initialize` named no revision")?;
                let _ = self.agreed.set(agreed.to_owned());
                self.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
            }
            Revision::Stateless => {
                let versions = result["supportedVersions"].as_array();
                let speaks = versions.is_some_and(|all| all.contains(&json!(self.revision.name())));
                if !speaks {
                    bail!("the server does not speak {}", self.revision.name());
                }
            }
        }
        Ok(result)
    }

    /// The status of the response to this request, if it had one.
    fn status(&self, request: &Request) -> Option<u16> {
        let heads = self.log.all(request.mark, |frame| match &frame.event {
            Event::Head(status, _) if frame.exchange == request.exchange => Some(*status),
            _ => None,
        });
        heads.first().copied()
    }

    /// The last lines that a server on stdio has written to its standard error.
    async fn last_words(&self) -> Vec<String> {
        const LINES: usize = 8;
        if let To::Stdio(process, _) = &self.to {
            process.lock().await.hear_out().await;
        }
        let lines = self.log.all(0, |frame| match &frame.event {
            Event::Stderr(line) => Some(crate::lane::plain(line)),
            _ => None,
        });
        lines[lines.len().saturating_sub(LINES)..].to_vec()
    }

    pub fn is_http(&self) -> bool {
        matches!(self.to, To::Http(_))
    }

    /// The server is a child process of ours.
    pub fn pid(&self) -> Option<u32> {
        match self.to {
            To::Stdio(_, id) => id,
            To::Http(_) => None,
        }
    }

    /// On HTTP 2026-07-28 a cancel is a closed stream. Elsewhere it is a notification.
    pub fn cancels_by_closing(&self) -> bool {
        self.is_http() && self.revision == Revision::Stateless
    }

    /// The session's name, HTTP 2025-11-25.
    pub fn session(&self) -> Option<String> {
        match &self.to {
            To::Http(http) => http.session(),
            To::Stdio(..) => None,
        }
    }

    pub fn next_id(&self) -> Value {
        self.ids.fetch_add(1, Ordering::Relaxed).into()
    }

    /// Sends a request under the next id.
    pub fn request(&self, method: &str, params: Value) -> Request {
        self.request_as(self.next_id(), method, params)
    }

    /// Sends a request under an id of the caller's choice.
    pub fn request_as(&self, id: Value, method: &str, mut params: Value) -> Request {
        if self.revision == Revision::Stateless {
            let meta = &mut params["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = json!(self.revision.name());
            meta["io.modelcontextprotocol/clientInfo"] =
                json!({ "name": "mcp-cancel-check", "version": "1" });
            let capabilities = &mut meta["io.modelcontextprotocol/clientCapabilities"];
            if capabilities.is_null() {
                *capabilities = json!({});
            }
        }
        let mark = self.log.mark();
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let exchange = self.send(&message);
        Request { id, exchange, mark }
    }

    /// Sends any message. Returns the exchange that carries it.
    pub fn send(&self, message: &Value) -> u32 {
        match &self.to {
            To::Stdio(process, _) => {
                self.log.push(0, Event::Sent(message.clone()));
                // The lock is held for long only by one who waits for the exit: no input is left.
                if let Ok(process) = process.try_lock() {
                    process.send(message);
                }
                0
            }
            To::Http(http) => {
                let headers = self.headers(Some(message));
                http.exchange(reqwest::Method::POST, &headers, Some(message), &self.log)
            }
        }
    }

    /// A GET: the session's own stream, or one that is resumed after an event. HTTP 2025-11-25.
    pub fn get(&self, last_event: Option<&str>) -> u32 {
        let To::Http(http) = &self.to else { return 0 };
        let mut headers = self.headers(None);
        headers.extend(last_event.map(|id| ("Last-Event-ID", id.to_owned())));
        http.exchange(reqwest::Method::GET, &headers, None, &self.log)
    }

    /// A DELETE: the end of the session. HTTP 2025-11-25.
    pub fn delete(&self) -> u32 {
        let To::Http(http) = &self.to else { return 0 };
        http.exchange(reqwest::Method::DELETE, &self.headers(None), None, &self.log)
    }

    fn headers(&self, message: Option<&Value>) -> Vec<(&'static str, String)> {
        let accept = match message {
            Some(_) => "application/json, text/event-stream",
            None => "text/event-stream",
        };
        let mut headers = vec![("Accept", accept.to_owned())];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let method = message.and_then(|message| text(&message["method"]));
        if method.as_deref() != Some("initialize") {
            let agreed = self.agreed.get().map_or(self.revision.name(), String::as_str);
            headers.push(("MCP-Protocol-Version", agreed.to_owned()));
        }
        headers.extend(self.session().map(|session| ("Mcp-Session-Id", session)));
        if let (Revision::Stateless, Some(message)) = (self.revision, message) {
            headers.extend(method.map(|method| ("Mcp-Method", method)));
            let name = text(&message["params"]["name"]).or(text(&message["params"]["taskId"]));
            headers.extend(name.map(|name| ("Mcp-Name", name)));
        }
        headers
    }

    /// Closes an exchange. On stdio there is none to close.
    pub fn close(&self, exchange: u32) {
        if let To::Http(http) = &self.to {
            http.close(exchange, &self.log);
        }
    }

    /// Tells the server to stop this request, in the way of this transport and revision.
    pub fn cancel(&self, request: &Request, reason: &str) {
        if self.cancels_by_closing() {
            self.close(request.exchange);
        } else {
            self.send(&cancelled(json!({ "requestId": request.id, "reason": reason })));
        }
    }

    /// The answer to the request, or why none came.
    pub async fn answer(&self, request: &Request, patience: Duration) -> anyhow::Result<Value> {
        let (mut status, mut body) = (String::new(), String::new());
        let found = self.log.first(request.mark, patience, |frame| {
            if let Some(answer) = frame.answer_to(&request.id) {
                return Some(Ok(answer.clone()));
            }
            if frame.exchange != request.exchange {
                return None;
            }
            match &frame.event {
                Event::Ended if self.is_http() => {
                    Some(Err(format!("the exchange ended unanswered{status}{body}")))
                }
                Event::Garbage(text) if self.is_http() => {
                    body = format!(": {}", crate::lane::plain(text));
                    None
                }
                Event::Ended => Some(Err("the server closed its output".to_owned())),
                Event::Lost(why) if self.is_http() => {
                    Some(Err(format!("the connection broke: {why}")))
                }
                Event::Lost(why) => Some(Err(why.clone())),
                Event::Head(code, _) => {
                    status = format!(", HTTP {code}");
                    None
                }
                // A refusal that does not even know our id.
                Event::Received(message, _) if message["error"].is_object() => {
                    let anonymous = message.get("id").is_none_or(Value::is_null);
                    anonymous.then(|| Err(plain(&message["error"]["message"])))
                }
                Event::Received(message, _) if message.get("jsonrpc").is_none() => {
                    body = format!(": {}", plain(message));
                    None
                }
                _ => None,
            }
        });
        match found.await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(why)) => bail!("{why}"),
            None => bail!("no answer within {patience:?}"),
        }
    }

    /// Sends a request and waits so long for its result.
    pub async fn ask(
        &self,
        method: &str,
        params: Value,
        patience: Duration,
    ) -> anyhow::Result<Value> {
        let request = self.request(method, params);
        let answer = self.answer(&request, patience).await;
        let mut answer = answer.with_context(|| format!("`{method}` failed"))?;
        match log::error(&answer) {
            Some(error) => bail!("`{method}` was refused: {}", plain(&error["message"])),
            None => Ok(answer["result"].take()),
        }
    }

    /// A fence: what the server has sent before the answer, we have. 2026-07-28 has no `ping`.
    pub async fn fence(&self) -> anyhow::Result<()> {
        let method = match self.revision {
            Revision::Handshake => "ping",
            Revision::Stateless => "server/discover",
        };
        let request = self.request(method, json!({}));
        // An error is an answer too: the server lives.
        self.answer(&request, ANSWER).await.map(|_| ())
    }

    /// Ends the server's input (stdio).
    pub async fn end_input(&self) {
        if let To::Stdio(process, _) = &self.to {
            process.lock().await.end_input();
        }
    }

    /// Reads no more of what the server says (stdio).
    pub async fn stall(&self) {
        if let To::Stdio(process, _) = &self.to {
            process.lock().await.stall();
        }
    }

    /// Ends the server's input, read or not (stdio).
    pub async fn abandon(&self) {
        if let To::Stdio(process, _) = &self.to {
            process.lock().await.abandon();
        }
    }

    /// Tells the server's process to end (stdio).
    pub async fn terminate(&self) {
        if let To::Stdio(process, _) = &self.to {
            process.lock().await.terminate();
        }
    }

    /// Waits for the server's exit (stdio).
    pub async fn exit(&self, patience: Duration) -> Option<ExitStatus> {
        match &self.to {
            To::Stdio(process, _) => {
                timeout(patience, async { process.lock().await.exit().await }).await.ok()?
            }
            To::Http(_) => None,
        }
    }

    /// How the server has ended, if it has.
    pub async fn ended(&self) -> Option<String> {
        if let To::Http(http) = &self.to {
            let gone = !http.can_be_reached().await;
            return gone.then(|| "nobody listens there any more".to_owned());
        }
        let ended = |frame: &log::Frame| matches!(frame.event, Event::Ended).then_some(());
        if self.log.all(0, ended).is_empty() {
            return None;
        }
        // One that has only closed its output is no process that has ended.
        let status = self.exit(Duration::from_secs(1)).await;
        Some(status.map_or("its output is closed".to_owned(), |status| status.to_string()))
    }

    pub async fn kill(&self) {
        match &self.to {
            To::Stdio(process, _) => process.lock().await.kill().await,
            To::Http(http) if http.session().is_some() => {
                let exchange = self.delete();
                let gone = |frame: &log::Frame| {
                    let done = matches!(frame.event, Event::Ended | Event::Lost(_));
                    (frame.exchange == exchange && done).then_some(())
                };
                self.log.first(0, Duration::from_secs(1), gone).await;
            }
            To::Http(_) => {}
        }
    }
}

/// A server's own words, short and on one line.
fn plain(words: &Value) -> String {
    crate::lane::plain(&words.to_string())
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.manners.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

/// A `notifications/cancelled` with these parameters, right or wrong.
#[allow(clippy::needless_pass_by_value, reason = "the parameters are always made at the call")]
pub fn cancelled(params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_has_ended_before_it_is_asked_keeps_nobody_waiting() {
        let log = Arc::new(Log::new());
        let process = Process::start(&["true".to_owned()], &log).unwrap();
        let ended = |frame: &log::Frame| matches!(frame.event, Event::Ended).then_some(());
        log.first(0, FIRST_ANSWERS, ended).await.unwrap();
        let to = To::Stdio(Mutex::new(process), None);
        let (revision, agreed) = (Revision::Handshake, OnceLock::new());
        let wire = Wire { log, revision, ids: 1.into(), to, agreed, manners: None };
        let error = wire.ask("ping", json!({}), ANSWER).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "`ping` failed: the server closed its output");
    }
}

//! The last hop: a process of its own, an MCP server on stdio in front of a real database.
//!
//! Each tool stops in its own way. `query` needs another thread to interrupt it, `fetch` is
//! stopped by dropping it, and `commit` is not stopped at all.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use hosting::layer::Server;
use hosting::{Door, Site};
use reqwest::Url;
use reqwest::redirect::Policy;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, schemars, tool, tool_router};
use rusqlite::{Connection, ErrorCode};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use shared::server::from_one_to;
use shared::stop::Stop;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use crate::caller::{Caller, Note, Notes};

/// The hidden argument that makes this program the database process.
pub const ARGUMENT: &str = "database-process";
/// More rows than this nobody may ask for: a commit cannot be stopped.
pub(crate) const MAX_ROWS: u32 = 10_000;
/// How long the commit takes for a row, so that a cancel can come in its middle.
const WRITING: Duration = Duration::from_millis(50);

/// A row takes some 10 ms: there is no index that could help.
const QUERY: &str = "
    SELECT region.id, (SELECT count(*) FROM sales a, sales b
                       WHERE a.id <= 200 AND b.id <= 200 AND (a.amount * b.amount) % 97 = region.id % 97)
    FROM sales region LIMIT ?1";
const TABLES: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE IF NOT EXISTS published (report TEXT, row INTEGER);
    CREATE TABLE IF NOT EXISTS sales (id INTEGER PRIMARY KEY, amount INTEGER);
    INSERT OR IGNORE INTO sales
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
        SELECT i, i * 7919 % 1000 FROM n;";

/// What the process says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Its process id.
    pub pid: u32,
    /// Queries at work.
    pub queries: usize,
    /// Rows that all its queries have read.
    pub rows_read: u64,
    /// Streams that it reads.
    pub streams: usize,
    /// Commits at work.
    pub commits: usize,
    /// Rows that were published.
    pub published: u64,
    /// What the hops noted under one trace.
    pub notes: Vec<Note>,
}

#[derive(Debug, Clone)]
struct Database {
    file: PathBuf,
    http: reqwest::Client,
    notes: Notes,
    rows_read: Arc<AtomicU64>,
    /// These count what holds a token of theirs.
    queries: TaskTracker,
    streams: TaskTracker,
    commits: TaskTracker,
}

/// What a query and a commit are given.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub(crate) struct Rows {
    /// How many rows.
    #[serde(deserialize_with = "rows")]
    #[schemars(range(min = 1, max = MAX_ROWS), extend("default" = 100))]
    pub(crate) rows: u32,
}

pub(crate) fn rows<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    from_one_to(MAX_ROWS, "rows", from)
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct Fetch {
    /// A URL on this machine.
    #[schemars(example = "http://127.0.0.1:9000/")]
    url: String,
}

/// What `look` and `status` are given.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub(crate) struct Look {
    /// The trace whose notes are wanted.
    #[serde(default)]
    pub(crate) trace: String,
}

#[tool_router(server_handler)]
impl Database {
    fn open(file: PathBuf) -> anyhow::Result<Self> {
        Connection::open(&file)?.execute_batch(TABLES)?;
        let http = reqwest::Client::builder().redirect(Policy::none()).pool_max_idle_per_host(0);
        let (http, (notes, rows_read)) = (http.build()?, Default::default());
        let [queries, streams, commits] = std::array::from_fn(|_| TaskTracker::new());
        Ok(Self { file, http, notes, rows_read, queries, streams, commits })
    }

    /// Reads rows, each of which takes the database some time.
    #[tool(title = "Query", annotations(read_only_hint = true, open_world_hint = false))]
    async fn query(
        &self,
        Parameters(Rows { rows }): Parameters<Rows>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let caller = Caller::of(&ctx);
        self.notes.note(&caller, "query", "starts");
        let answer = self.run_query(rows, &caller).await;
        self.notes.note(&caller, "query", "stopped");
        answer.map(|read| format!("{read} rows read")).map_err(|error| format!("{error:#}"))
    }

    async fn run_query(&self, rows: u32, caller: &Caller) -> anyhow::Result<u64> {
        let database = Connection::open(&self.file)?;
        let interrupt = database.get_interrupt_handle();
        // The thread owns the count: a query has ended when its thread is back, not earlier.
        let (at_work, read_by_all) = (self.queries.token(), self.rows_read.clone());
        let mut query = spawn_blocking(move || {
            let _at_work = at_work;
            let mut statement = database.prepare(QUERY)?;
            let mut found = statement.query([rows])?;
            let mut read = 0;
            while found.next()?.is_some() {
                read += 1;
                read_by_all.fetch_add(1, Ordering::SeqCst);
            }
            Ok(read)
        });
        let mut heard = false;
        let ended: rusqlite::Result<u64> = loop {
            tokio::select! {
                biased;
                ended = &mut query => break ended?,
                () = caller.stop.cancelled(), if !heard => {
                    self.notes.note(caller, "query", "heard");
                    heard = true;
                }
                () = sleep(Duration::from_millis(1)), if heard => {}
            }
            // An interrupt stops the statement that runs now. A moment too early there is none,
            // and the interrupt is lost. So it is repeated until the thread is back.
            interrupt.interrupt();
        };
        match ended {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                bail!("the query was interrupted")
            }
            ended => Ok(ended?),
        }
    }

    /// Reads a stream to its end.
    #[tool(title = "Fetch a stream", annotations(read_only_hint = true, open_world_hint = true))]
    async fn fetch(
        &self,
        Parameters(Fetch { url }): Parameters<Fetch>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let caller = Caller::of(&ctx);
        self.notes.note(&caller, "fetch", "starts");
        let answer = tokio::select! {
            biased;
            () = caller.stop.cancelled() => {
                self.notes.note(&caller, "fetch", "heard");
                Err("cancelled".to_owned())
            }
            // When this is dropped, its connection is closed. That is all HTTP/1.1 has for a
            // cancel, and the service notices.
            read = self.read(&url, &caller) => read.map_err(|error| format!("{error:#}")),
        };
        self.notes.note(&caller, "fetch", "stopped");
        answer
    }

    async fn read(&self, url: &str, caller: &Caller) -> anyhow::Result<String> {
        let _at_work = self.streams.token();
        let url: Url = url.parse().with_context(|| format!("{url:?} is not a URL"))?;
        // A tool that fetches any URL for anybody is a way into the network behind it.
        ensure!(url.host_str() == Some("127.0.0.1"), "only http://127.0.0.1 is fetched from");
        let request = self.http.get(url).header("traceparent", caller.parent());
        let mut response = request.send().await?.error_for_status()?;
        let mut lines = 0;
        while let Some(part) = response.chunk().await? {
            lines += part.split(|byte| *byte == b'\n').count() - 1;
        }
        Ok(format!("{lines} lines fetched"))
    }

    /// Publishes so many rows: all of them, or none.
    #[tool(
        title = "Publish rows",
        annotations(
            read_only_hint = false,
            destructive_hint = false,
            idempotent_hint = false,
            open_world_hint = false
        )
    )]
    async fn commit(
        &self,
        Parameters(Rows { rows }): Parameters<Rows>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let caller = Caller::of(&ctx);
        if caller.stop.is_cancelled() {
            return Err("cancelled before the first row".to_owned());
        }
        // From here on the token is not looked at.
        let (file, at_work) = (self.file.clone(), self.commits.token());
        let written = spawn_blocking(move || -> anyhow::Result<()> {
            let _at_work = at_work;
            let mut database = Connection::open(file)?;
            let transaction = database.transaction()?;
            for row in 1..=rows {
                transaction
                    .execute("INSERT INTO published VALUES (?1, ?2)", (&caller.trace, row))?;
                std::thread::sleep(WRITING);
            }
            Ok(transaction.commit()?)
        });
        let written = written.await.unwrap_or_else(|error| Err(error.into()));
        written.map_err(|error| format!("nothing was published: {error}"))?;
        Ok(format!("{rows} rows published"))
    }

    /// Says what this process is doing.
    #[tool(
        title = "Show what this process does",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn status(
        &self,
        Parameters(Look { trace }): Parameters<Look>,
    ) -> Result<CallToolResult, String> {
        let file = self.file.clone();
        let count = spawn_blocking(move || -> anyhow::Result<i64> {
            let count = "SELECT count(*) FROM published";
            Ok(Connection::open(file)?.query_row(count, (), |row| row.get(0))?)
        });
        let published = count.await.unwrap_or_else(|error| Err(error.into()));
        let published = published.map_err(|error| format!("cannot count the rows: {error}"))?;
        let status = Status {
            pid: std::process::id(),
            queries: self.queries.len(),
            rows_read: self.rows_read.load(Ordering::SeqCst),
            streams: self.streams.len(),
            commits: self.commits.len(),
            published: published.unsigned_abs(),
            notes: self.notes.of(&trace),
        };
        Ok(CallToolResult::structured(json!(status)))
    }
}

/// The server of the database process.
pub fn server(file: PathBuf) -> anyhow::Result<Server> {
    Ok(Server::new(Database::open(file).context("cannot open the database")?))
}

/// The database process, from its start until its input ends.
pub fn main(file: Option<OsString>) -> anyhow::Result<()> {
    let file = file.with_context(|| format!("{ARGUMENT} needs the path of the database"))?;
    let database = server(file.into())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let site = Site::new(Door::Stdio, Stop::default());
    let served = runtime.block_on(hosting::host(database, site));
    runtime.shutdown_timeout(Duration::from_millis(200));
    served
}

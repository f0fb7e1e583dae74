//! This lesson's server: a tool that is done in a few milliseconds.

use std::path::Path;

use anyhow::anyhow;
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, schemars, tool, tool_router};
use serde::Deserialize;
use shared::calls::CallList;
use shared::server::Setup;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

/// A server that answers quickly.
#[derive(Debug, Clone)]
pub struct QuickServer {
    setup: Setup,
}

/// Arguments of `count_rows`.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct CountArgs {
    /// A file of the data folder.
    #[schemars(extend("default" = "part_9.csv"))]
    filename: String,
}

#[tool_router(server_handler)]
impl QuickServer {
    /// A server over these files, writing into these calls.
    pub fn new(setup: Setup) -> Self {
        Self { setup }
    }

    /// Counts the rows of a CSV file, as fast as it can.
    #[tool(title = "Count rows", annotations(read_only_hint = true, open_world_hint = false))]
    async fn count_rows(
        &self,
        Parameters(args): Parameters<CountArgs>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let path = self.setup.data.find(&args.filename)?;
        let call = self.setup.calls.start("count_rows", 1, &ctx);
        let stop = ctx.ct.clone();
        let counted = spawn_blocking(move || rows_of(&path, &stop)).await;

        // The one place where this call's fate is decided. A cancel that comes before this
        // line wins, and the result is void; one that comes after it is too late, whatever
        // the caller may believe. There is no third way, so the list can never say both.
        if ctx.ct.is_cancelled() {
            return call.finish(Ok(None));
        }
        let done = match counted {
            Ok(Ok(rows)) => {
                call.step_done();
                Ok(Some(format!("{} has {rows} rows", args.filename)))
            }
            Ok(Err(error)) => Err(anyhow!("{} cannot be read as CSV: {error}", args.filename)),
            Err(error) => Err(anyhow!("counting stopped: {error}")),
        };
        call.finish(done)
    }

    /// Lists the calls this server runs and has run, newest last.
    #[tool(title = "List the calls", annotations(read_only_hint = true, open_world_hint = false))]
    async fn list_calls(&self) -> Json<CallList> {
        Json(self.setup.calls.list())
    }
}

/// Counts the data rows. When `stop` fires it returns those so far, and no error.
pub fn rows_of(path: &Path, stop: &CancellationToken) -> Result<u64, csv::Error> {
    let mut reader = csv::Reader::from_path(path)?;
    let mut record = csv::ByteRecord::new();
    let mut rows = 0;
    while !stop.is_cancelled() && reader.read_byte_record(&mut record)? {
        rows += 1;
    }
    Ok(rows)
}

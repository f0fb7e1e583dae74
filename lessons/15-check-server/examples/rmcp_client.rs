//! rmcp, for the survey: `rmcp_client URL [SECONDS]`. Whoever drops the future cancels.
use std::time::Duration;

use rmcp::model::{CallToolRequestParams, ProtocolVersion, object};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt};
use rmcp::transport::StreamableHttpClientTransport;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_default();
    let limit = Duration::from_secs(args.next().map_or(Ok(60), |seconds| seconds.parse())?);
    let lifecycle = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: None,
    };
    let server = StreamableHttpClientTransport::from_uri(url);
    let client = ().serve_with_lifecycle(server, lifecycle).await?;

    let work = json!({ "filename": "large_dataset.csv", "processing_time": 24 });
    let call = CallToolRequestParams::new("process_large_file").with_arguments(object(work));
    let mut user = BufReader::new(tokio::io::stdin()).lines();
    tokio::select! {
        ended = timeout(limit, client.call_tool(call)) => println!("told: {ended:?}"),
        _ = user.next_line() => println!("told: nothing, its future is dropped"),
    }
    user.next_line().await?;
    Ok(())
}

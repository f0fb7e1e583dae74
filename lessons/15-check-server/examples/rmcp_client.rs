//! rmcp, for the survey: `rmcp_client SERVER [stop|close|wait [SECONDS]]`. A dropped future is a cancel.
use std::time::Duration;

use rmcp::model::{CallToolRequestParams, ProtocolVersion, object};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let server = args.next().unwrap_or_default();
    let way = args.next().unwrap_or_default();
    let limit = Duration::from_secs(args.next().map_or(Ok(60), |seconds| seconds.parse())?);
    let lifecycle = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: None,
    };
    let client = if server.starts_with("http") {
        ().serve_with_lifecycle(StreamableHttpClientTransport::from_uri(server), lifecycle).await?
    } else {
        let stdio = TokioChildProcess::new(Command::new(server))?;
        ().serve_with_lifecycle(stdio, lifecycle).await?
    };

    let work = json!({ "filename": "large_dataset.csv", "processing_time": 24 });
    let call = CallToolRequestParams::new("process_large_file").with_arguments(object(work));
    let peer = client.peer().clone();
    let call = async move { timeout(limit, peer.call_tool(call)).await };
    let mut user = BufReader::new(tokio::io::stdin()).lines();
    match &*way {
        "close" => {
            let call = tokio::spawn(call);
            user.next_line().await?;
            client.cancel().await?;
            println!("told: {:?}", call.await?);
        }
        "wait" => println!("told: {:?}", call.await),
        _ => tokio::select! {
            ended = call => println!("told: {ended:?}"),
            _ = user.next_line() => println!("told: nothing, its future is dropped"),
        },
    }
    user.next_line().await?;
    Ok(())
}

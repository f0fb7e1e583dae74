//! rig, for the survey: `rig_client SERVER [stop|close|wait [SECONDS]]`.
use std::time::Duration;

use rig_rmcp::tools_from_server;
use rmcp::ServiceExt;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

const WORK: &str = r#"{ "filename": "large_dataset.csv", "processing_time": 24 }"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let server = args.next().unwrap_or_default();
    let way = args.next().unwrap_or_default();
    let limit = Duration::from_secs(args.next().map_or(Ok(60), |seconds| seconds.parse())?);
    let client = if server.starts_with("http") {
        ().serve(StreamableHttpClientTransport::from_uri(server)).await?
    } else {
        ().serve(TokioChildProcess::new(Command::new(server))?).await?
    };
    let tools = tools_from_server(client.list_all_tools().await?, client.peer());
    let tool = tools.into_iter().find(|tool| tool.definition().name == "process_large_file");
    let tool = tool.ok_or("no such tool")?.with_timeout(limit);

    let mut user = BufReader::new(tokio::io::stdin()).lines();
    let call = async move { tool.execute_mcp(WORK.to_owned(), None).await };
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

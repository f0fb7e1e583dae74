//! Hint: your proof does not notice a server that is wrong: works on, answers all the same

use serde_json::json;

use crate::wire::Wire;

pub async fn prove(wire: &Wire) -> anyhow::Result<()> {
    let call = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
        "name": "process_large_file",
        "arguments": { "filename": "large_dataset.csv", "processing_time": 200 },
        "_meta": { "progressToken": "mine" } } });
    let mut response = wire.post(&call).await?;
    response.progress(3).await?;
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": { "requestId": 7, "reason": "by hand" } });
    wire.post(&cancel).await?.accepted().await?;
    Ok(())
}

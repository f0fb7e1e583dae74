//! Hint: your proof passes, and the server has no cancelled call that was at work

use serde_json::json;

use crate::wire::Wire;

pub async fn prove(wire: &Wire) -> anyhow::Result<()> {
    let call = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
        "name": "process_large_file",
        "arguments": { "filename": "large_dataset.csv", "processing_time": 200 },
        "_meta": { "progressToken": "mine" } } });
    let mut response = wire.post(&call).await?;
    response.progress(3).await?;
    drop(response);
    Ok(())
}

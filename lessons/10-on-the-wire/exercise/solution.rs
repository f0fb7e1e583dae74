//! A solution: two POSTs, the end of the first, and a question to the server.

use anyhow::ensure;
use serde_json::json;

use crate::wire::Wire;

pub async fn prove(wire: &Wire) -> anyhow::Result<()> {
    let call = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
        "name": "process_large_file",
        "arguments": { "filename": "large_dataset.csv", "processing_time": 200 },
        "_meta": { "progressToken": "mine" } } });
    let mut response = wire.post(&call).await?;
    response.progress(3).await?;

    // The id is a number here, because it was one in the call. The cancel itself has no id.
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": { "requestId": 7, "reason": "by hand" } });
    wire.post(&cancel).await?.accepted().await?;

    // What the server says of the call ..
    let answer = response.answer().await?;
    ensure!(answer["error"]["code"] == -32800, "the call ended with {answer}");
    // .. and what it does.
    wire.stopped().await
}

//! The rules for schemas are those of the MCP Inspector. So its own program looks at the tools too.

use std::path::PathBuf;
use std::process::Command;

use rmcp::model::{
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use testing::hosted::Hosted;

use crate::tools::{UNPORTABLE, all};

/// A server that lists these tools, and has none.
struct Listing(Vec<Tool>);

impl ServerHandler for Listing {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.0.clone()))
    }
}

/// What the Inspector prints when it lists these tools: the list, and what it finds.
async fn inspect(tools: impl Iterator<Item = Value>) -> (Value, String) {
    // The Inspector wants each name once.
    let numbered = tools.enumerate().map(|(number, mut tool)| {
        tool["name"] = json!(format!("tool_{number}"));
        serde_json::from_value(tool).unwrap()
    });
    let server = Hosted::start(Listing(numbered.collect())).await;
    let modules = PathBuf::from(std::env::var_os("MCP_INSPECTOR").expect("MCP_INSPECTOR"));
    let bin = modules.join("node_modules/.bin");
    let home = tempfile::tempdir().unwrap();
    let mut inspector = Command::new(bin.join("node"));
    inspector.arg(bin.join("mcp-inspector")).args(["--cli", &server.url]).env("HOME", home.path());
    inspector.args(["--transport", "http", "--method", "tools/list", "--strict"]);
    let printed = tokio::task::spawn_blocking(move || inspector.output().unwrap()).await.unwrap();
    let found = String::from_utf8(printed.stderr).unwrap();
    let list: Value = serde_json::from_slice(&printed.stdout).unwrap_or_else(|_| panic!("{found}"));
    (list["tools"].clone(), found)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs MCP_INSPECTOR, a folder with the MCP Inspector and a Node for it"]
async fn the_inspector_warns_of_no_tool() {
    let tools = all().await;
    let (listed, found) = inspect(tools.iter().map(|(_, tool)| tool.clone())).await;
    assert_eq!(listed.as_array().unwrap().len(), tools.len());
    assert_eq!(found, "");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs MCP_INSPECTOR, a folder with the MCP Inspector and a Node for it"]
async fn the_inspector_warns_of_what_breaks_a_rule() {
    let tools = UNPORTABLE.map(|(schema, _)| {
        let schema: Value = serde_json::from_str(schema).unwrap();
        json!({ "name": "", "inputSchema": { "type": "object", "properties": { "it": schema } } })
    });
    let (_, found) = inspect(tools.into_iter()).await;
    for (number, (schema, _)) in UNPORTABLE.iter().enumerate() {
        assert!(found.contains(&format!("tool \"tool_{number}\"")), "{schema}: {found}");
    }
}

//! Servers that leak where they should not, and the other way round.

use cleanup::tools::ExportServer;
use course::lesson::Protocol;
use course::stage::Stage;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ListToolsResult, PaginatedRequestParams, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use testing::hosted::{Hosted, setup};

/// Does the work of one tool with another, or writes reports under their final name.
#[derive(Clone)]
struct Swapped {
    server: ExportServer,
    /// This tool ...
    tool: &'static str,
    /// ... is replaced by this one; in the answers of `inventory`: this text by this one.
    by: &'static str,
}

impl ServerHandler for Swapped {
    async fn call_tool(
        &self,
        mut request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let inventory = request.name == "inventory";
        if request.name == self.tool {
            request.name = self.by.into();
        }
        match self.server.call_tool(request, ctx).await? {
            CallToolResponse::Complete(mut result) if inventory => {
                let held = result.structured_content.take().unwrap_or_default().to_string();
                let held = held.replace(self.tool, self.by);
                result.structured_content = serde_json::from_str(&held).ok();
                Ok(result.into())
            }
            answer => Ok(answer),
        }
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.server.get_tool(name)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        self.server.list_tools(request, ctx).await
    }
}

/// The story ends with that sentence, on both revisions.
async fn ends_with(tool: &'static str, by: &'static str, sentence: &str) {
    for protocol in [Protocol::V2025, Protocol::V2026] {
        let server = ExportServer::new(setup(20)).unwrap();
        let server = Hosted::start(Swapped { server, tool, by }).await;
        let error = cleanup::story(&Stage::over_http(&server.url, protocol)).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(sentence), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_that_the_leak_does_not_show() {
    ends_with("export_leaky", "export_raii", "the leak did not show").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_that_the_leak_has_no_consequence() {
    // `repair` answers where an export should have been refused.
    ends_with("export_raii", "repair", "the leak had no consequence").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_half_written_report() {
    ends_with("report.csv.tmp", "report.csv", "shows a half-written report to everybody").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_tool_that_holds_no_lease() {
    ends_with("export_async", "export_raii", "export_async does not hold what it should").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_report_that_is_not_left_behind() {
    ends_with("report.csv\"", "lost.csv\"", "did not leave its report").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_tool_that_leaks_when_cancelled() {
    ends_with("export_async", "export_leaky", "export_async leaks: after 1 cancelled calls").await;
}

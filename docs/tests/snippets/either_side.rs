//! On 2025-11-25 a server asks its client, too, and may cancel what it has asked.

use rmcp::model::{
    ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationSchema,
    ErrorData, ServerRequest,
};
use rmcp::service::{PeerRequestOptions, RequestContext};
use rmcp::{ClientHandler, RoleClient, ServerHandler, ServiceExt};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

struct Server;
impl ServerHandler for Server {}

/// A client that shows a dialog until its user has answered.
struct Client {
    screen: UnboundedSender<&'static str>,
}

impl ClientHandler for Client {
    async fn create_elicitation(
        &self,
        _question: ElicitRequestParams,
        ctx: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        self.screen.send("dialog opens").unwrap();
        // The user thinks. The client has to listen, as a tool has to on the other side.
        ctx.ct.cancelled().await;
        self.screen.send("dialog closes").unwrap();
        Ok(ElicitResult::new(ElicitationAction::Cancel)) // rmcp does not send it
    }
}

#[tokio::test]
async fn a_server_takes_its_question_back() {
    let (screen, mut seen) = unbounded_channel();
    let (ours, theirs) = tokio::io::duplex(4096);
    let (server, client) = tokio::join!(Server.serve(ours), Client { screen }.serve(theirs));
    let (server, client) = (server.unwrap(), client.unwrap());

    let question = ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: "Delete all files?".to_owned(),
        requested_schema: ElicitationSchema::builder().build().unwrap(),
    };
    let question = ServerRequest::ElicitRequest(ElicitRequest::new(question));
    let options = PeerRequestOptions::no_options();
    let handle = server.peer().send_cancellable_request(question, options).await.unwrap();
    assert_eq!(seen.recv().await, Some("dialog opens"));

    // The server's user has cancelled the tool call that asked: nobody needs the answer now.
    handle.cancel(Some("the tool call was cancelled".to_owned())).await.unwrap();
    assert_eq!(seen.recv().await, Some("dialog closes"));

    client.cancel().await.unwrap();
}

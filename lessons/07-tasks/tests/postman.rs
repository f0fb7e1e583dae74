//! The folder of the Postman collection that is about tasks, played by newman against a server
//! that cancels them and one that does not.

#[path = "../../../shared/tests/support/hosted.rs"]
mod hosted;
#[path = "../../../shared/tests/support/newman.rs"]
mod newman;

use hosted::{Hosted, setup};
use newman::Newman;
use shared::hosting::{Door, Site, host};
use shared::wrong::Wrong;
use tasks::tools::TaskServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

fn task_server() -> TaskServer {
    TaskServer::new(setup(200), CancellationToken::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs newman: NEWMAN, see .ci/run"]
async fn newman_cancels_a_task() {
    let server = Hosted::start(task_server()).await;
    let report = Newman::play(&server.url, &["5 Tasks"]).report();
    assert_eq!(report.failed(), [""; 0]);
    let asserted = report.asserted();
    for number in 1..=8 {
        let request = format!("5.{number} ");
        assert!(asserted.iter().any(|(name, _)| name.starts_with(&request)), "{request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs newman: NEWMAN, see .ci/run"]
async fn newman_finds_out_a_deaf_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let site = Site { door: Door::Http(listener), wrong: Some(Wrong::Deaf), shutdown };
    tokio::spawn(host(task_server(), site));
    let expected = [
        "the task was cancelled",
        "the server stopped: its list says cancelled, before all steps were done",
    ];
    assert_eq!(Newman::play(&url, &["5 Tasks"]).report().failed(), expected);
}

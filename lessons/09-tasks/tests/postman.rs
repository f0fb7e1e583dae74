//! The folder of the Postman collection that is about tasks, played by newman against a server
//! that cancels them and one that does not.

use shared::layer::Server;
use tasks::tools::TaskServer;
use testing::hosted::{Hosted, setup};
use testing::newman::Newman;
use wrong::Wrong;

fn task_server() -> TaskServer {
    TaskServer::new(setup(200)).unwrap()
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
    let setup = setup(200);
    let stop = setup.stop.clone();
    let server = Wrong::Deaf.tools(Server::new(TaskServer::new(setup).unwrap()));
    let server = Hosted::host(server, stop, Wrong::Deaf.connections()).await;
    let expected = [
        "the task was cancelled",
        "the server stopped: its list says cancelled, before all steps were done",
    ];
    assert_eq!(Newman::play(&server.url, &["5 Tasks"]).report().failed(), expected);
}

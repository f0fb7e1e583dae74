//! The tools of the practice server and of the judge have all that clients need.

use testing::tools::{faults, listed};

use crate::support::{Practice, check};

#[tokio::test]
async fn every_tool_has_all_that_clients_need() {
    let mut judge = check();
    judge.args(["client", "--http", "127.0.0.1:0"]);
    let judge = Practice::at_a_url(judge);
    let told = ["status", "probe"].map(|tells| Practice::http(&["--tells", tells]));
    for server in told.iter().chain([&judge]) {
        let found: Vec<_> = listed(&server.url).await.iter().flat_map(faults).collect();
        assert!(found.is_empty(), "{found:#?}");
    }
}

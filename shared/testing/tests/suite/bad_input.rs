//! Whatever comes in, its sender is told what is wrong with it, and everybody else is served.

use std::path::Path;

use course::lesson::Protocol;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::calls::State;
use shared::dataset::DataFolder;
use shared::server::{FileServer, Setup};
use testing::hosted::{Hosted, common_server, setup};
use testing::raw::{BOTH, CANCELLED, RawClient, assert_finished, find, in_time, text};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A call with these arguments is answered with a tool error that has all these words.
async fn refuses(arguments: Value, words: &[&str]) {
    refuses_at(&common_server(1).await, arguments, words).await;
}

async fn refuses_at(server: &Hosted, arguments: Value, words: &[&str]) {
    for protocol in BOTH {
        let wire = RawClient::open(&server.url, protocol).await;
        let answer = wire.call(1, "process_large_file", &arguments).await.answer().await;
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        for word in words {
            assert!(text(&answer).contains(word), "no {word:?} in: {answer}");
        }
        wire.still_serves().await;
    }
}

async fn refuses_file(filename: &str) {
    let arguments = json!({ "filename": filename, "processing_time": 1 });
    refuses(arguments, &["must be one of", "large_dataset.csv", "part_9.csv"]).await;
}

async fn refuses_steps(steps: Value) {
    let arguments = json!({ "filename": "part_0.csv", "processing_time": steps });
    refuses(arguments, &["from 1 to 3600", &format!("not {steps}")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_is_refused_with_the_list_of_files() {
    refuses_file("missing.csv").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_out_of_the_data_folder_is_refused() {
    refuses_file("../../etc/passwd").await;
    refuses_file("../../../../../../../../../../etc/passwd").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absolute_path_is_refused() {
    refuses_file("/etc/passwd").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_out_of_the_data_folder_is_refused() {
    let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let csv = |folder: &Path, name| std::fs::write(folder.join(name), "a,b\n1,2\n").unwrap();
    csv(inside.path(), "part_0.csv");
    csv(outside.path(), "secret.csv");
    let link = inside.path().join("link.csv");
    std::os::unix::fs::symlink(outside.path().join("secret.csv"), link).unwrap();
    let data = DataFolder::open(inside.path()).unwrap();
    let server = Hosted::start(FileServer::new(Setup { data, ..setup(1) })).await;
    refuses_at(&server, json!({ "filename": "link.csv" }), &["must be one of", "part_0.csv"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_csv_is_refused_and_nothing_of_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), "PASSWORD=secret\n").unwrap();
    std::fs::write(folder.path().join("part_0.csv"), "a,b\n1,2\n").unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    let server = Hosted::start(FileServer::new(Setup { data, ..setup(1) })).await;
    refuses_at(&server, json!({ "filename": ".env" }), &["must be one of: part_0.csv"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_steps_are_refused() {
    refuses_steps(json!(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn negative_steps_are_refused() {
    refuses_steps(json!(-1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_that_are_no_number_are_refused() {
    refuses_steps(json!("x")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_steps_are_refused() {
    refuses_steps(json!(1_000_000_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_step_is_refused() {
    refuses_steps(json!(2.5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_filename_is_named() {
    refuses(json!({ "processing_time": 1 }), &["missing field", "filename"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filename_that_is_no_text_is_refused() {
    refuses(json!({ "filename": 5 }), &["invalid type", "expected a string"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_tool_is_an_error_that_names_the_tools_there_are() {
    let server = common_server(1).await;
    for protocol in BOTH {
        let wire = RawClient::open(&server.url, protocol).await;
        let answer = wire.call(1, "frobnicate", &json!({})).await.answer().await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        for word in ["frobnicate", "process_large_file", "list_calls"] {
            assert!(message.contains(word), "no {word:?} in: {message}");
        }
        wire.still_serves().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_params_cannot_be_read_is_told_what_they_must_be() {
    let server = common_server(1).await;
    for protocol in BOTH {
        let wire = RawClient::open(&server.url, protocol).await;
        for params in [json!({ "name": 7 }), json!({ "name": "list_calls", "arguments": [] })] {
            let answer = wire.ask("tools/call", params).await;
            assert_eq!(answer["error"]["code"], -32602, "{answer}");
            let why = answer["error"]["message"].as_str().unwrap();
            assert!(why.contains("name must be a string, arguments an object"), "{answer}");
        }
        wire.still_serves().await;
    }
}

/// A cancel with these parameters is accepted, as every notification is, and changes
/// nothing for call 1, which runs when it comes.
async fn ignores(params: Value) {
    let server = common_server(10).await;
    let wire = RawClient::open(&server.url, Protocol::V2025).await;
    let listening = wire.listen(None).await;
    let mut call = wire.work(1, 30).await;
    call.progress(2).await;
    wire.notify(CANCELLED, &params).await;
    assert_finished(&call.answer().await);
    wire.still_serves().await;
    let record = find(&wire.calls().await, &json!(1));
    assert_eq!((record.state, record.steps_done), (State::Finished, 30));
    assert_eq!(wire.close(listening).await, [Value::Null; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_for_an_unknown_id_is_ignored() {
    ignores(json!({ "requestId": 999, "reason": "a test" })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_for_text_1_does_not_stop_the_call_of_number_1() {
    ignores(json!({ "requestId": "1", "reason": "a test" })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_without_an_id_is_ignored() {
    ignores(json!({ "reason": "a test" })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_with_an_object_as_id_is_ignored() {
    ignores(json!({ "requestId": { "id": 1 } })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_with_a_reason_that_is_no_text_is_ignored() {
    ignores(json!({ "requestId": 1, "reason": 5 })).await;
}

/// A POST of this body is answered with this status and a text that has this word.
async fn rejects(body: String, status: StatusCode, word: &str) {
    let server = common_server(1).await;
    let wire = RawClient::open(&server.url, Protocol::V2025).await;
    let response = in_time("a response", wire.http(Method::POST).body(body).send()).await.unwrap();
    assert_eq!(response.status(), status);
    let text = in_time("its text", response.text()).await.unwrap();
    assert!(text.contains(word), "no {word:?} in: {text}");
    // A server that does not read a body to its end closes the connection: take another.
    RawClient::open(&server.url, Protocol::V2025).await.still_serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_json_is_rejected() {
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    rejects("{ what?".to_owned(), status, "fail to deserialize request body").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_rejected_with_the_limit() {
    rejects("x".repeat(5 << 20), StatusCode::PAYLOAD_TOO_LARGE, "4194304 bytes").await;
}

/// It is broken, and not too long.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_whole_is_rejected_as_such() {
    let server = common_server(1).await;
    let address = server.url.trim_start_matches("http://").trim_end_matches("/mcp");
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\
                   connection: close\r\n\r\nno length\r\n";
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    in_time("an answer", connection.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("did not come whole"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_path_is_told_the_right_one() {
    let server = common_server(1).await;
    let response = in_time("a response", reqwest::get(server.url.replace("/mcp", "/nothing")));
    let response = response.await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.text().await.unwrap(), "nothing at /nothing; the MCP endpoint is /mcp\n");
    for url in [server.url.clone(), server.url + "/"] {
        for protocol in BOTH {
            RawClient::open(&url, protocol).await.still_serves().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_of_another_origin_is_turned_away() {
    let server = common_server(1).await;
    for protocol in BOTH {
        let wire = RawClient::open(&server.url, protocol).await;
        for (origin, status) in [
            ("https://evil.example", StatusCode::FORBIDDEN),
            ("http://localhost:1234", StatusCode::OK),
        ] {
            let message = testing::raw::tool_call(protocol, &json!(1), "list_calls", &json!({}));
            let request = wire.http(Method::POST).body(message.to_string());
            let request =
                request.header("mcp-method", "tools/call").header("mcp-name", "list_calls");
            let sent = in_time("a response", request.header("origin", origin).send()).await;
            assert_eq!(sent.unwrap().status(), status, "{origin}");
        }
        wire.still_serves().await;
    }
}

//! The same server, as if it knew 2025-11-25 only: a proxy that refuses `server/discover`.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

#[derive(Debug)]
pub struct Legacy {
    pub url: String,
    serves: AbortHandle,
}

impl Drop for Legacy {
    fn drop(&mut self) {
        self.serves.abort();
    }
}

#[derive(Debug, Clone)]
struct Behind {
    client: reqwest::Client,
    url: String,
}

pub async fn before(url: &str) -> anyhow::Result<Legacy> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let own = format!("http://{}/mcp", listener.local_addr()?);
    // No idle connections: an exchange that the client closes is closed behind the proxy too.
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().build()?;
    let app = Router::new().fallback(pass).with_state(Behind { client, url: url.to_owned() });
    let serves = tokio::spawn(axum::serve(listener, app).into_future()).abort_handle();
    Ok(Legacy { url: own, serves })
}

async fn pass(State(behind): State<Behind>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 1 << 20).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let says = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
    if says["method"] == "server/discover" || head.uri.path() != "/mcp" {
        return StatusCode::BAD_REQUEST.into_response();
    }
    forward(&behind, head.method, head.headers, body)
        .await
        .unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
}

async fn forward(
    behind: &Behind,
    method: Method,
    mut headers: HeaderMap,
    body: Bytes,
) -> anyhow::Result<Response> {
    // These are of one connection.
    for own in ["host", "connection", "content-length", "transfer-encoding"] {
        headers.remove(own);
    }
    let answer =
        behind.client.request(method, &behind.url).headers(headers).body(body).send().await?;
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if name != "transfer-encoding" && name != "connection" {
            response = response.header(name, value);
        }
    }
    Ok(response.body(Body::from_stream(answer.bytes_stream()))?)
}

//! Asks a server how it is, over its HTTP health endpoint.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use vdom_client::ServerAddress;

const PATH: &str = "/health/ready";
const DEADLINE: Duration = Duration::from_secs(3);
const ANSWER_MAX_BYTES: usize = 64 << 10;

/// What a server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Readiness {
    /// The endpoint that was asked.
    pub(crate) url: String,
    pub(crate) is_ready: bool,
    /// The object that it answered with.
    pub(crate) details: Value,
}

/// Asks the first of `servers` that has the endpoint; `Err` says why none has.
pub(crate) async fn ask(servers: &[ServerAddress]) -> Result<Readiness, String> {
    let mut problem = "no HTTP address is known: name one with --admin".to_owned();
    for server in servers {
        let Some(authority) = server.plain_authority() else {
            continue;
        };
        match tokio::time::timeout(DEADLINE, get(authority)).await {
            Ok(Ok(Some(readiness))) => return Ok(readiness),
            Ok(Ok(None)) => problem = format!("http://{authority} does not serve {PATH}"),
            Ok(Err(error)) => problem = format!("http://{authority}: {error}"),
            Err(_) => problem = format!("http://{authority}: no answer in {DEADLINE:?}"),
        }
    }
    Err(problem)
}

/// `None` where the server answers, but not to this question.
async fn get(
    authority: &str,
) -> Result<Option<Readiness>, Box<dyn std::error::Error + Send + Sync>> {
    let address =
        if has_port(authority) { authority.to_owned() } else { format!("{authority}:80") };
    let socket = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    let request = Request::get(PATH).header(HOST, authority).body(Empty::<Bytes>::new())?;
    // Owns the sender: when the exchange is over, so is the connection.
    let exchange = async move {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_MAX_BYTES).collect().await?.to_bytes();
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((status, body))
    };
    // What breaks the connection breaks the exchange, which says so.
    let (answer, _) = tokio::join!(exchange, connection);
    let (status, body) = answer?;
    // A gRPC port answers 200 to everything, and says in a trailer that it knows nothing of it.
    let Ok(details @ Value::Object(_)) = serde_json::from_slice(&body) else { return Ok(None) };
    if details["status"].is_null() || !(status.is_success() || status.as_u16() == 503) {
        return Ok(None);
    }
    let url = format!("http://{authority}{PATH}");
    Ok(Some(Readiness { url, is_ready: status.is_success(), details }))
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn answering(answer: &'static str) -> ServerAddress {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut request = [0; 1_024];
            let _read = socket.read(&mut request).await.expect("a request");
            socket.write_all(answer.as_bytes()).await.expect("answered");
        });
        url.parse().expect("a URL")
    }

    #[tokio::test]
    async fn a_server_that_is_not_ready_says_why() {
        let server = answering(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 17\r\n\r\n{\"status\":\"away\"}",
        )
        .await;
        let readiness = ask(&[server]).await.expect("an answer");
        assert!(!readiness.is_ready);
        assert_eq!(readiness.details["status"], "away");
    }

    #[tokio::test]
    async fn the_next_address_is_asked_where_the_first_has_no_such_endpoint() {
        let other = answering("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
        let grpc = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let server =
            answering("HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{\"status\":\"ready\"}").await;
        let asked = ask(&[other, grpc, server]).await;
        assert!(asked.as_ref().is_ok_and(|readiness| readiness.is_ready), "{asked:?}");
        let other = answering("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
        assert!(ask(&[other]).await.is_err());
    }
}

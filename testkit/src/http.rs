//! An HTTP/1 client over TCP or a unix socket: a connection for each request,
//! nothing followed, nothing added but `host` and the token.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Where the server is.
#[derive(Clone, Debug)]
pub enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A client of one server.
#[derive(Clone, Debug)]
pub struct HttpClient {
    place: Place,
    token: Option<String>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl HttpClient {
    pub fn new(place: Place, token: Option<&str>) -> Self {
        Self { place, token: token.map(str::to_owned) }
    }

    /// The answer to a request without a body.
    pub async fn get(&self, path: &str) -> HttpAnswer {
        self.send(request(Method::GET, path, "")).await
    }

    /// The whole answer.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> HttpAnswer {
        let whole = async {
            let (head, body) = self.open(request).await.into_parts();
            let body = body.collect().await.expect("the whole answer").to_bytes();
            HttpAnswer { status: head.status, headers: head.headers, body }
        };
        tokio::time::timeout(ANSWER_WITHIN, whole).await.expect("an answer within 20 s")
    }

    /// The answer's head; its body follows.
    pub async fn open(&self, mut request: Request<Full<Bytes>>) -> Response<Incoming> {
        let headers = request.headers_mut();
        headers.entry(HOST).or_insert(HeaderValue::from_static("localhost"));
        if let Some(token) = &self.token {
            let bearer = HeaderValue::try_from(format!("Bearer {token}")).expect("text");
            headers.insert(AUTHORIZATION, bearer);
        }
        match &self.place {
            Place::Tcp(address) => {
                over(TcpStream::connect(address).await.expect("a server"), request).await
            }
            Place::Unix(path) => {
                over(UnixStream::connect(path).await.expect("a server"), request).await
            }
        }
    }
}

impl HttpAnswer {
    /// The value of a header; `None` where it is not there or no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// A request with this body.
pub fn request(method: Method, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(path);
    request.body(Full::new(body.into())).expect("a request")
}

async fn over<I>(io: I, request: Request<Full<Bytes>>) -> Response<Incoming>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(io)).await.expect("HTTP/1");
    // It ends with the answer; what breaks it breaks the answer, which says so.
    tokio::spawn(connection);
    sender.send_request(request).await.expect("an answer")
}

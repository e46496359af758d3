//! Listeners, connections and the path of requests.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use futures::StreamExt;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use vdom_core::ErrorCode;

use super::*;
use crate::environment::Environment;
use crate::observe::Metrics;
use crate::token::TokenVerifier;

mod access_log;
mod body_drain;

const ANY_PORT: &str = "127.0.0.1:0";

fn environment() -> Environment {
    let fill = |bytes: &mut [u8]| {
        bytes.fill(0xab);
        Ok(())
    };
    Environment::new(std::time::SystemTime::now, Duration::default, fill)
}

async fn listen() -> Listener {
    let address = ANY_PORT.parse().expect("an address");
    Listener::bind(&Bind::Tcp { address, reuse_port: false }).await.expect("a listener")
}

fn address(server: &Server) -> SocketAddr {
    server.local_address().and_then(LocalAddress::tcp).expect("TCP")
}

fn context(metrics: &Metrics) -> RequestContext {
    RequestContext {
        tokens: TokenVerifier::anonymous(),
        environment: environment(),
        route_labels: &[],
        metrics: metrics.requests(),
        transport: "tcp",
        draining: CancellationToken::new(),
    }
}

fn router() -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/panic", get(async || -> &'static str { panic!("a fault in a test") }))
        .route(
            "/user",
            get(|extensions: http::Extensions| async move {
                crate::caller::of(&extensions).map_or_else(
                    |error| error.message,
                    |caller| format!("{} {}", caller.subject, caller.deadline.is_some()),
                )
            }),
        )
}

async fn start(settings: ServeSettings) -> Server {
    let metrics = Metrics::new("test", "1");
    Server::start(listen().await, RequestService::new(router(), context(&metrics)), settings)
}

/// What a plain-text peer gets for these bytes, until the server closes.
async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(bytes).await.expect("written");
    let mut answer = Vec::new();
    // A reset is one of the ways to close.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn client(
    http2: bool,
) -> Client<hyper_util::client::legacy::connect::HttpConnector, Empty<bytes::Bytes>> {
    Client::builder(TokioExecutor::new()).http2_only(http2).build_http()
}

async fn fetch(
    server: &Server,
    path: &str,
    http2: bool,
    headers: &[(&str, &str)],
) -> http::Response<Incoming> {
    let mut request = http::Request::get(format!("http://{}{path}", address(server)));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::new()).expect("a request");
    client(http2).request(request).await.expect("an answer")
}

async fn text(response: http::Response<Incoming>) -> String {
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(body.to_vec()).expect("text")
}

#[tokio::test]
async fn one_port_speaks_http1_and_http2() {
    let server = start(ServeSettings::default()).await;
    // The ids of requests that bring none follow one another.
    for (http2, last) in [(false, "ab"), (true, "ac")] {
        let response = fetch(&server, "/", http2, &[]).await;
        assert_eq!(response.version() == http::Version::HTTP_2, http2);
        assert_eq!(response.headers()["x-request-id"], "ab".repeat(15) + last);
        assert_eq!(text(response).await, "hello");
    }
    let named = fetch(&server, "/", true, &[("x-request-id", "mine")]).await;
    assert_eq!(named.headers()["x-request-id"], "mine");
}

#[tokio::test]
async fn the_caller_is_in_every_request_and_a_refusal_is_the_adapters() {
    let server = start(ServeSettings::default()).await;
    assert_eq!(text(fetch(&server, "/user", true, &[]).await).await, "anonymous false");
    let timed = fetch(&server, "/user", true, &[("grpc-timeout", "5S")]).await;
    assert_eq!(text(timed).await, "anonymous true");
    let basic = fetch(&server, "/user", true, &[("authorization", "Basic eA==")]).await;
    assert!(text(basic).await.contains("not `Bearer <token>`"));
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_the_connection_lives() {
    let metrics = Metrics::new("test", "1");
    let service = RequestService::new(router(), context(&metrics));
    let server = Server::start(listen().await, service, ServeSettings::default());
    let client = client(true);
    let uri = |path: &str| format!("http://{}{path}", address(&server)).parse().expect("a URL");
    let failed = client.get(uri("/panic")).await.expect("an answer");
    assert_eq!(failed.status(), 500);
    let problem = text(failed).await;
    assert!(problem.contains("\"code\":\"Internal\""), "{problem}");
    assert!(!problem.contains("a fault in a test"), "{problem}");
    assert_eq!(text(client.get(uri("/")).await.expect("an answer")).await, "hello");
    let rendered = metrics.render().expect("text");
    let line = "vdom_requests_total{call=\"other\",code=\"500\",transport=\"tcp\"} 1";
    assert!(rendered.contains(line), "{rendered}");
    assert!(rendered.contains("vdom_requests_in_flight 0"), "{rendered}");
}

#[tokio::test]
async fn a_header_list_above_the_limit_is_refused() {
    let server = start(ServeSettings::default()).await;
    let head = |bytes: usize| {
        format!(
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: {}\r\n\r\n",
            "x".repeat(bytes)
        )
    };
    let fits = raw(address(&server), head(15 << 10).as_bytes()).await;
    assert!(fits.starts_with("HTTP/1.1 200"), "{fits}");
    let above = raw(address(&server), head(17 << 10).as_bytes()).await;
    assert!(above.starts_with("HTTP/1.1 431"), "{above}");

    let large = "x".repeat(17 << 10);
    let above = fetch_http2_refused(&server, &large).await;
    assert!(above, "HTTP/2 refuses it too");
    assert_eq!(text(fetch(&server, "/", true, &[]).await).await, "hello");
}

async fn fetch_http2_refused(server: &Server, value: &str) -> bool {
    let request = http::Request::get(format!("http://{}/", address(server)))
        .header("x", value)
        .body(Empty::new())
        .expect("a request");
    match client(true).request(request).await {
        Ok(response) => response.status() == 431,
        Err(_) => true,
    }
}

#[tokio::test]
async fn who_sends_nothing_or_half_a_head_is_cut_off() {
    let handshake_deadline = Duration::from_millis(500);
    let server = start(ServeSettings { handshake_deadline, ..ServeSettings::default() }).await;
    for bytes in [&b""[..], b"PRI * HTTP/2.0", b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: "] {
        let closed =
            tokio::time::timeout(Duration::from_secs(10), raw(address(&server), bytes)).await;
        assert!(closed.is_ok(), "{:?} was not cut off", String::from_utf8_lossy(bytes));
    }
    let whole = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    assert!(raw(address(&server), whole).await.contains("hello"));
}

#[tokio::test]
async fn connections_above_the_cap_wait_their_turn() {
    let server = start(ServeSettings { max_connections: 1, ..ServeSettings::default() }).await;
    let holder = TcpStream::connect(address(&server)).await.expect("connected");
    let waiting = tokio::spawn({
        let address = address(&server);
        async move { raw(address, b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await }
    });
    drop(holder);
    let answer = tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("in time");
    assert!(answer.expect("an answer").contains("hello"));
}

#[tokio::test]
async fn a_drain_answers_what_is_in_flight_and_takes_no_more() {
    for http2 in [false, true] {
        let (arrived, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (tell, wait) = (Arc::clone(&arrived), Arc::clone(&release));
        let slow = Router::new().route(
            "/slow",
            get(move || async move {
                tell.notify_one();
                wait.notified().await;
                "done"
            }),
        );
        let server = Server::start(listen().await, slow, ServeSettings::default());
        let address = address(&server);
        let request = tokio::spawn(async move {
            let uri = format!("http://{address}/slow").parse().expect("a URL");
            text(client(http2).get(uri).await.expect("an answer")).await
        });
        arrived.notified().await;
        let draining = server.draining();
        let drained = tokio::spawn(server.drain(Duration::from_secs(30)));
        draining.cancelled().await;
        release.notify_one();
        assert_eq!(request.await.expect("answered"), "done");
        assert_eq!(drained.await.expect("drained"), Drained::Clean);
        assert!(TcpStream::connect(address).await.is_err(), "the port is free");
    }
}

#[tokio::test]
async fn a_drain_cuts_off_what_does_not_end() {
    let endless = Router::new().route(
        "/",
        get(|| async {
            let pieces = futures::stream::iter([Ok::<_, std::io::Error>("first")])
                .chain(futures::stream::pending());
            axum::body::Body::from_stream(pieces)
        }),
    );
    let server = Server::start(listen().await, endless, ServeSettings::default());
    let uri = format!("http://{}/", address(&server)).parse().expect("a URL");
    let client = client(true);
    let mut response = client.get(uri).await.expect("an answer");
    assert!(response.body_mut().frame().await.is_some());
    assert_eq!(server.drain(Duration::from_millis(50)).await, Drained::Cut { connections: 1 });
}

#[tokio::test]
async fn a_unix_socket_is_private_replaces_a_dead_one_and_goes_with_its_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("vdom.sock");
    // What a process that was killed leaves behind.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    let bind = Bind::Unix { path: path.clone(), mode: 0o660 };
    let listener = Listener::bind(&bind).await.expect("a listener");
    assert_eq!(listener.local_address().to_string(), format!("unix:{}", path.display()));
    let mode = std::fs::metadata(&path).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let taken = Listener::bind(&bind).await.expect_err("taken");
    assert_eq!(taken.code, ErrorCode::AlreadyExists);
    assert!(taken.message.contains("another process listens"), "{taken}");

    let server = Server::start(listener, router(), ServeSettings::default());
    let stream = TokioIo::new(UnixStream::connect(&path).await.expect("connected"));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.expect("a handshake");
    let connection = tokio::spawn(connection);
    let request = http::Request::get("/")
        .header("host", "localhost")
        .body(Empty::<bytes::Bytes>::new())
        .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    assert_eq!(text(response).await, "hello");
    assert_eq!(server.drain(Duration::from_secs(10)).await, Drained::Clean);
    assert!(connection.await.is_ok());
    assert!(!path.exists(), "the file goes with the server");

    std::fs::write(&path, "precious").expect("written");
    let refused = Listener::bind(&bind).await.expect_err("a file");
    assert!(refused.message.contains("is no socket"), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).expect("kept"), "precious");
}

#[tokio::test]
async fn a_unix_socket_may_have_as_long_a_path_as_the_kernel_takes() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["s", "a-longer-name.sock"] {
        let free = 107 - folder.path().as_os_str().len() - name.len() - 2;
        let directory = folder.path().join("d".repeat(free));
        std::fs::create_dir_all(&directory).expect("made");
        let path = directory.join(name);
        assert_eq!(path.as_os_str().len(), 107);
        let bind = Bind::Unix { path: path.clone(), mode: 0o660 };
        for _ in 0..2 {
            let listener = Listener::bind(&bind).await.expect("a listener");
            UnixStream::connect(&path).await.expect("connected");
            let files = std::fs::read_dir(&directory).expect("readable").count();
            assert_eq!(files, 1, "nothing is left beside it");
            drop(listener);
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_ends_with_a_peer_that_is_gone_whatever_it_speaks() {
    let listener = listen().await;
    let address = listener.local_address().tcp().expect("TCP");
    let _peer = TcpStream::connect(address).await.expect("connected");
    let Stream::Tcp(stream) = listener.accept().await.expect("accepted") else {
        panic!("another transport");
    };
    let socket = socket2::SockRef::from(&stream);
    assert!(socket.keepalive().expect("known"));
    assert_eq!(socket.tcp_keepalive_time().expect("known"), Duration::from_secs(30));
    assert_eq!(socket.tcp_user_timeout().expect("known"), Some(Duration::from_secs(40)));
}

#[tokio::test]
async fn a_port_in_use_says_which() {
    let server = start(ServeSettings::default()).await;
    let bind = Bind::Tcp { address: address(&server), reuse_port: false };
    let error = Listener::bind(&bind).await.expect_err("in use");
    assert!(error.message.contains(&address(&server).to_string()), "{error}");
}

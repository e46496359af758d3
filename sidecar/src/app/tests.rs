//! The wiring, over a scripted gateway.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tonic::transport::{Channel, Endpoint};
use vdom_proto::v1 as wire;
use vdom_proto::v1::memory_gateway_client::MemoryGatewayClient;

use super::*;
use crate::fake_gateway::FakeGateway;

const NODE: &str = "/v1/repos/app/branches/main/nodes/a";

fn config(gateway: &FakeGateway) -> SidecarConfig {
    let mut config = SidecarConfig { dev: true, ..SidecarConfig::default() };
    config.listen.address.set_port(0);
    config.listen.admin.set_port(0);
    config.limits.threads = 2;
    config.upstream.address = gateway.url();
    config
}

async fn started(config: SidecarConfig) -> Running {
    start(config, Environment::system()).await.unwrap()
}

async fn over_tcp(running: &Running) -> MemoryGatewayClient<Channel> {
    let url = format!("http://{}", running.addresses().tcp);
    MemoryGatewayClient::new(Endpoint::from_shared(url).unwrap().connect().await.unwrap())
}

async fn read(client: &mut MemoryGatewayClient<Channel>, path: &str) -> wire::ReadSnapshotResponse {
    let request = wire::ReadSnapshotRequest {
        repo: "app".into(),
        branch: "main".into(),
        path: path.into(),
        ..Default::default()
    };
    client.read_snapshot(request).await.unwrap().into_inner()
}

async fn fetch(
    address: SocketAddr,
    path: &str,
    request: http::request::Builder,
    body: &'static [u8],
) -> (http::response::Parts, Bytes) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let uri = format!("http://{address}{path}");
    let request: Request<Full<Bytes>> = request.uri(uri).body(body.into()).unwrap();
    let (head, body) = client.request(request).await.unwrap().into_parts();
    (head, body.collect().await.unwrap().to_bytes())
}

async fn get(address: SocketAddr, path: &str) -> (StatusCode, String) {
    let (head, body) = fetch(address, path, Request::builder(), b"").await;
    (head.status, String::from_utf8(body.to_vec()).unwrap())
}

async fn until_ready(running: &Running) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while get(running.addresses().admin, "/health/ready").await.0 != StatusCode::OK {
        assert!(std::time::Instant::now() < deadline, "it does not become ready");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn every_door_gives_the_same_node() {
    let gateway = FakeGateway::start().await;
    gateway.put("a", b"one");
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("sidecar.sock");
    let mut config = config(&gateway);
    config.listen.unix = Some(socket.clone());
    let running = started(config).await;

    let mut tcp = over_tcp(&running).await;
    for _ in 0..3 {
        assert_eq!(read(&mut tcp, "a").await.content, "one");
    }
    let url = format!("unix://{}", socket.display());
    let unix = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    assert_eq!(read(&mut MemoryGatewayClient::new(unix), "a").await.content, "one");

    let (head, body) = fetch(running.addresses().tcp, NODE, Request::builder(), b"").await;
    assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"one"[..]));

    // gRPC-Web: a framed message in, framed message and trailers out.
    let message = b"\0\0\0\0\x0e\x12\x03app\x1a\x04main\x22\x01a";
    let request = Request::builder()
        .method(Method::POST)
        .header("content-type", "application/grpc-web+proto")
        .header("x-grpc-web", "1");
    let call = "/virtualdom.v1.MemoryGateway/ReadSnapshot";
    let (head, body) = fetch(running.addresses().tcp, call, request, message).await;
    assert_eq!(head.status, StatusCode::OK);
    assert!(body.windows(3).any(|window| window == b"one"));
    assert!(body.windows(13).any(|window| window == b"grpc-status:0"), "{body:?}");

    assert_eq!(gateway.reads().len(), 1, "all but the first came from memory");
    running.drain().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn writes_over_rest_are_seen_over_grpc() {
    let gateway = FakeGateway::start().await;
    gateway.put("a", b"one");
    let running = started(config(&gateway)).await;
    let mut tcp = over_tcp(&running).await;
    assert_eq!(read(&mut tcp, "a").await.content, "one");
    let (head, body) =
        fetch(running.addresses().tcp, NODE, Request::builder().method(Method::PUT), b"two").await;
    assert!(head.status.is_success(), "{} {body:?}", head.status);
    assert_eq!(read(&mut tcp, "a").await.content, "two");
    running.drain().await;
}

#[tokio::test]
async fn operators_see_whether_the_gateway_is_there_and_what_is_cached() {
    let gateway = FakeGateway::start().await;
    gateway.put("a", b"one");
    gateway.cut();
    let running = started(config(&gateway)).await;
    let admin = running.addresses().admin;
    let (status, body) = get(admin, "/health/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("the gateway has not answered yet"), "{body}");
    gateway.mend();
    until_ready(&running).await;

    let mut tcp = over_tcp(&running).await;
    for _ in 0..5 {
        read(&mut tcp, "a").await;
    }
    let (_, metrics) = get(admin, "/metrics").await;
    for line in [
        "vdom_sidecar_cache_hits_total 4",
        "vdom_sidecar_cache_misses_total 1",
        "vdom_sidecar_cache_entries 1",
        "vdom_sidecar_branches_followed 1",
        "vdom_sidecar_upstream_reachable 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }

    gateway.cut();
    tcp.list_repos(wire::ListReposRequest::default()).await.unwrap_err();
    let (status, body) = get(admin, "/health/ready").await;
    assert_eq!(status, StatusCode::OK, "what is cached is served");
    assert!(body.contains("has been away"), "{body}");
    running.drain().await;
}

#[tokio::test]
async fn a_path_that_is_nobodys_is_refused_in_the_callers_protocol() {
    let gateway = FakeGateway::start().await;
    let running = started(config(&gateway)).await;
    let (status, body) = get(running.addresses().tcp, "/v2/nothing").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("/v2/nothing"), "{body}");
    running.drain().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_refused_also_by_a_second_sidecar() {
    let gateway = FakeGateway::start().await;
    let first = started(config(&gateway)).await;
    let mut second = config(&gateway);
    second.listen.address = first.addresses().tcp;
    let Err(error) = start(second, Environment::system()).await else { panic!("taken") };
    assert!(error.message.contains("cannot listen"), "{error}");
    first.drain().await;
}

#[tokio::test]
async fn requests_in_flight_are_answered_when_it_drains() {
    let gateway = FakeGateway::start().await;
    gateway.put("a", b"one");
    let running = started(config(&gateway)).await;
    let mut tcp = over_tcp(&running).await;
    gateway.hold_reads(true);
    let reading = tokio::spawn(async move { read(&mut tcp, "a").await });
    while gateway.reads().is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let address = running.addresses().tcp;
    let draining = tokio::spawn(running.drain());
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    gateway.hold_reads(false);
    assert_eq!(reading.await.unwrap().content, "one");
    draining.await.unwrap();
}

#[tokio::test]
async fn without_a_token_nobody_is_let_in() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    vdom_edge::token::generate_secret_file(&secret).unwrap();
    let gateway = FakeGateway::start().await;
    gateway.put("a", b"one");
    let mut config = config(&gateway);
    config.dev = false;
    config.auth.key_files = vec![secret];
    let running = started(config).await;
    let mut tcp = over_tcp(&running).await;
    let request = wire::ReadSnapshotRequest::default();
    let status = tcp.read_snapshot(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    let (head, _) = fetch(running.addresses().tcp, NODE, Request::builder(), b"").await;
    assert_eq!(head.status, StatusCode::UNAUTHORIZED);
    running.drain().await;
}

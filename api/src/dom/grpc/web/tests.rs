//! gRPC-Web and CORS, as a browser meets them.

use axum::body::Body;
use bytes::{BufMut, BytesMut};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use prost::Message;
use tower::ServiceExt;
use vdom_proto::v1 as wire;

use super::*;
use crate::dom::fake::{FakeDocumentService, caller};
use vdom_edge::caller::CheckedCaller;
use vdom_edge::cors::cors;

const ORIGIN: &str = "https://app.example.com";
const CALL: &str = "/virtualdom.v1.MemoryGateway/ListRepos";

async fn ask(request: http::request::Builder, body: Body) -> Response<Body> {
    let mut request = request.uri(CALL).body(body).expect("a request");
    request.extensions_mut().insert(CheckedCaller(Ok(caller())));
    let cors = cors(&[ORIGIN.to_owned()]).expect("an origin");
    let router = web_router(Arc::new(FakeDocumentService::default()), Compression::WhereAccepted)
        .layer(cors);
    router.oneshot(request).await.expect("infallible")
}

fn list_repos() -> Body {
    let message =
        wire::ListReposRequest { realm: "acme".to_owned(), ..Default::default() }.encode_to_vec();
    let mut frame = BytesMut::from(&[0][..]);
    frame.put_u32(message.len() as u32);
    frame.extend_from_slice(&message);
    Body::from(frame.freeze())
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("ASCII"))
}

#[tokio::test]
async fn a_page_calls_and_reads_status_and_details() {
    let request = Request::post("/")
        .header("origin", ORIGIN)
        .header("content-type", "application/grpc-web+proto")
        .header("x-grpc-web", "1");
    let response = ask(request, list_repos()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "content-type"), "application/grpc-web+proto");
    assert_eq!(header(&response, "access-control-allow-origin"), ORIGIN);
    let exposed = header(&response, "access-control-expose-headers").to_owned();
    for name in ["grpc-status", "grpc-status-details-bin", "x-vdom-freshness-stale", "etag"] {
        assert!(exposed.split(',').any(|exposed| exposed == name), "{name}: {exposed}");
    }
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let length = u32::from_be_bytes([body[1], body[2], body[3], body[4]]) as usize;
    let repos = wire::ListReposResponse::decode(&body[5..5 + length]).expect("a message");
    assert_eq!(repos.repos[0].name, "repo-of-acme");
    assert_eq!(body[5 + length], 0x80, "the trailers follow");
    assert!(String::from_utf8_lossy(&body[10 + length..]).contains("grpc-status:0"));
}

#[tokio::test]
async fn only_pages_of_the_named_origins_are_let_in() {
    for (origin, allowed) in [(ORIGIN, ORIGIN), ("https://evil.example", "")] {
        let preflight = Request::options("/")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,x-grpc-web");
        let response = ask(preflight, Body::empty()).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(&response, "access-control-allow-origin"), allowed, "{origin}");
    }
    for bad in ["*", "app.example.com", "https://a/path", "ftp://a", "https://", "https://\n"] {
        assert!(cors(&[bad.to_owned()]).is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn a_media_type_is_read_in_any_case_and_with_parameters() {
    for (content_type, accept, answered) in [
        ("Application/gRPC-Web+Proto", "*/*", "application/grpc-web+proto"),
        ("application/grpc-web+proto; charset=utf-8", "*/*", "application/grpc-web+proto"),
        (
            "application/grpc-web",
            "text/plain, Application/grpc-web-text; q=1",
            "application/grpc-web-text+proto",
        ),
    ] {
        let request =
            Request::post("/").header("content-type", content_type).header("accept", accept);
        let response = ask(request, list_repos()).await;
        assert_eq!(response.status(), StatusCode::OK, "{content_type}");
        assert_eq!(header(&response, "content-type"), answered, "{content_type}");
    }
}

#[tokio::test]
async fn what_is_no_grpc_web_is_told_what_to_send() {
    let web = "application/grpc-web+proto";
    for (request, why) in [
        (Request::post("/").header("content-type", "application/json"), "application/json"),
        (Request::post("/"), "application/grpc-web+proto"),
        (Request::post("/").header("content-type", "application/grpc"), "HTTP/2"),
        (Request::put("/").header("content-type", web), "PUT is no method"),
    ] {
        let response = ask(request, list_repos()).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{why}");
        assert_eq!(header(&response, "content-type"), "application/problem+json");
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains(why), "{why}: {text}");
    }
}

#[tokio::test]
async fn an_encoding_that_is_not_taken_is_answered_with_those_that_are() {
    for call in ["ListRepos", "SubscribeChanges"] {
        let mut request = Request::post(format!("/virtualdom.v1.MemoryGateway/{call}"))
            .header("content-type", "application/grpc-web+proto")
            .header("grpc-encoding", "snappy")
            .body(list_repos())
            .expect("a request");
        request.extensions_mut().insert(CheckedCaller(Ok(caller())));
        let dom = Arc::new(FakeDocumentService::default());
        let response = web_router(dom, Compression::WhereAccepted).oneshot(request).await;
        let response = response.expect("infallible");
        assert_eq!(header(&response, "grpc-status"), "12", "{call}");
        let accepted = header(&response, "grpc-accept-encoding");
        assert!(accepted.contains("gzip") && accepted.contains("zstd"), "{call}: {accepted}");
    }
}

//! What only REST can get wrong: URLs, queries, headers and JSON.

use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vdom_testkit::http::request;

use super::{Server, assert_refusal};
use crate::refusal::Refusal;

at_both_doors! {
    bad_requests_are_refused_and_nothing_is_written
    bodies_above_their_limits_are_refused
    a_body_that_breaks_off_is_not_written
    what_is_no_route_says_so
}

const NODES: &str = "/v1/repos/repo/branches/main/nodes";
const TEXT_OPERATIONS: &str = "application/vnd.vdom.text+json";
const JSON_PATCH: &str = "application/json-patch+json";

fn node(method: Method, rest: &str, body: &str) -> Request<Full<Bytes>> {
    request(method, &format!("{NODES}/{rest}"), body.to_owned())
}

fn with(
    mut request: Request<Full<Bytes>>,
    name: &'static str,
    value: &'static str,
) -> Request<Full<Bytes>> {
    request.headers_mut().insert(name, HeaderValue::from_static(value));
    request
}

async fn bad_requests_are_refused_and_nothing_is_written(mut server: Server) {
    let rest = server.http();
    let put = |rest: &str| node(Method::PUT, rest, "content");
    let patch = |kind, body: &str| with(node(Method::PATCH, "file", body), "content-type", kind);
    let json =
        |body: &str| with(node(Method::PUT, "new", body), "content-type", "application/json");
    let tree =
        |query: &str| request(Method::GET, &format!("/v1/repos/repo/branches/main/{query}"), "");
    let elsewhere = |path: &str| request(Method::PUT, path, "content");
    // A gateway never promises it, a sidecar does not do so yet.
    let local = if server.sidecar.is_some() { "Unimplemented" } else { "InvalidArgument" };
    let deep = "{\"d\":".repeat(120) + "1" + &"}".repeat(120);
    for (what, request, code, words) in [
        ("up and out", put("a/%2E%2E/%2E%2E/etc"), "InvalidArgument", &["segment `..`"][..]),
        ("an empty segment", put("a//b"), "InvalidArgument", &["empty segment"]),
        ("an escaped NUL", put("a%00b"), "InvalidArgument", &["U+0000"]),
        ("no UTF-8", put("a%FFb"), "InvalidArgument", &["UTF-8"]),
        ("no NFC", put("e%CC%81"), "InvalidArgument", &["normalization form C"]),
        (
            "a bad repo",
            elsewhere("/v1/repos/a%20b/branches/main/nodes/a"),
            "InvalidArgument",
            &["repo", "' ' at byte 1"],
        ),
        (
            "a bad branch",
            elsewhere("/v1/repos/repo/branches/a..b/nodes/a"),
            "InvalidArgument",
            &["branch", "`..`"],
        ),
        ("an unknown realm", put("a?realm=nowhere"), "NotFound", &["`nowhere`"]),
        (
            "a misspelt parameter",
            put("a?mesage=x"),
            "InvalidArgument",
            &["\"mesage\"", "\"message\""],
        ),
        ("no such kind", put("a?kind=link"), "InvalidArgument", &["\"link\"", "`file`"]),
        ("no such level", put("a?ack=maybe"), "InvalidArgument", &["\"maybe\"", "`committed`"]),
        ("LOCAL", put("a?ack=local"), local, &["LOCAL"]),
        ("no number", tree("tree?revision=latest"), "InvalidArgument", &["\"latest\""]),
        ("no such revision", tree("tree?revision=99"), "NotFound", &["99"]),
        ("no resume point", tree("changes?from=yesterday"), "InvalidArgument", &["\"yesterday\""]),
        (
            "too long a page of branches",
            request(Method::GET, "/v1/repos/repo/branches?page_size=10001", ""),
            "InvalidArgument",
            &["10001", "10000"],
        ),
        (
            "another page's token",
            request(Method::GET, "/v1/repos/repo/branches?page_token=00", ""),
            "InvalidArgument",
            &["page_token"],
        ),
        ("too long a page", tree("history?limit=1001"), "InvalidArgument", &["1001", "1000"]),
        ("no key", with(put("a"), "idempotency-key", "again"), "InvalidArgument", &["\"again\""]),
        (
            "two conditions",
            with(with(put("file"), "if-match", "*"), "if-none-match", "*"),
            "InvalidArgument",
            &["If-Match and If-None-Match"],
        ),
        ("nothing to match", with(put("a"), "if-match", "*"), "FailedPrecondition", &["no node"]),
        (
            "another version",
            with(put("file"), "if-match", "\"00000000000000000000000000000000.1\""),
            "FailedPrecondition",
            &["read it again"],
        ),
        ("no diff", patch("text/plain", "x"), "InvalidArgument", &["content-type", JSON_PATCH]),
        ("no JSON", patch(JSON_PATCH, "{"), "InvalidArgument", &["JSON Patch"]),
        ("no list", patch(TEXT_OPERATIONS, "7"), "InvalidArgument", &["array"]),
        ("no bytes", patch("application/bson", ""), "InvalidArgument", &["empty"]),
        ("too far", patch(TEXT_OPERATIONS, r#"[{"r": 8}]"#), "InvalidArgument", &["7 bytes"]),
        ("inside ü", patch(TEXT_OPERATIONS, r#"[{"d": 3}]"#), "InvalidArgument", &["character"]),
        ("no document", json("[1]"), "InvalidArgument", &["JSON object"]),
        ("half a document", json("{\"a\":"), "InvalidArgument", &["JSON"]),
        ("too deep", json(&deep), "InvalidArgument", &[]),
        ("no target", node(Method::POST, "file", ""), "InvalidArgument", &["?rename="]),
        ("up and out", node(Method::POST, "file?rename=../b", ""), "InvalidArgument", &["`..`"]),
        ("nothing there", node(Method::DELETE, "nothing", ""), "NotFound", &["nothing"]),
    ] {
        let refusal = Refusal::from_http(&rest.send(request).await);
        assert_refusal(what, &refusal, code, words);
        server.check_untouched(what).await;
    }
    server.check_serves().await;
}

async fn bodies_above_their_limits_are_refused(mut server: Server) {
    let rest = server.http();
    // Announced: refused before a byte of it is read.
    let announced = with(node(Method::PUT, "large", ""), "content-length", "104857601");
    let large = vec![b' '; 5 << 20];
    let document = request(Method::PUT, &format!("{NODES}/large"), large.clone());
    let document = with(document, "content-type", "application/json");
    let diff =
        with(request(Method::PATCH, &format!("{NODES}/file"), large), "content-type", JSON_PATCH);
    for (what, request, words) in [
        ("a file", announced, "104857600"),
        ("a document", document, "4194304"),
        ("a diff", diff, "4194304"),
    ] {
        let refusal = Refusal::from_http(&rest.send(request).await);
        assert_refusal(what, &refusal, "TooLarge", &[words]);
        server.check_untouched(what).await;
    }
    server.check_serves().await;
}

async fn a_body_that_breaks_off_is_not_written(mut server: Server) {
    for (what, head) in [
        ("less than announced", "content-length: 3000000"),
        ("no last chunk", "transfer-encoding: chunked"),
    ] {
        let mut stream = TcpStream::connect(server.http_address()).await.expect("connected");
        let head = format!("PUT {NODES}/broken HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("written");
        stream.write_all(b"100000\r\n").await.expect("written");
        stream.write_all(&vec![b'x'; 1 << 20]).await.expect("written");
        stream.shutdown().await.expect("closed");
        let mut answer = Vec::new();
        // There may be none.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{what}: {answer:?}");
        server.check_untouched(what).await;
    }
    server.check_serves().await;
}

async fn what_is_no_route_says_so(server: Server) {
    let rest = server.http();
    for path in ["/v1/nothing", "/v2/repos", "/v1/repos/repo/branches/main/nothing"] {
        let answer = rest.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    let answer = rest.send(request(Method::DELETE, "/v1/repos", "")).await;
    assert_eq!(answer.status, 405, "{answer:?}");
    let huge = "h".repeat(17 << 10);
    let mut request = request(Method::GET, "/v1/repos", "");
    request.headers_mut().insert("x-large", HeaderValue::try_from(huge).expect("text"));
    assert_eq!(rest.send(request).await.status, 431);
    server.check_serves().await;
}

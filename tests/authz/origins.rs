//! Pages of other origins: the ones that are configured may call, others not.

use http::{HeaderValue, Method};
use vdom_testkit::gateway::{TestGateway, config};
use vdom_testkit::http::{HttpAnswer, HttpClient, Place, request};

const FRIEND: &str = "https://app.example.com";
const STRANGERS: [&str; 5] = [
    "https://evil.example.com",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com.evil.example",
    "null",
];
/// The paths that a page calls, and how.
const CALLS: [(&str, &str); 3] = [
    ("POST", "/virtualdom.v1.MemoryGateway/ListRepos"),
    ("GET", "/v1/repos"),
    ("PUT", "/v1/repos/repo/branches/main/nodes/a"),
];

async fn gateway() -> TestGateway {
    let mut config = config();
    config.web.origins = vec![FRIEND.to_owned()];
    TestGateway::with(config).await
}

/// What a browser asks before it lets the page call.
async fn preflight(gateway: &TestGateway, origin: &str, method: &str, path: &str) -> HttpAnswer {
    let mut request = request(Method::OPTIONS, path, "");
    let headers = request.headers_mut();
    headers.insert("origin", HeaderValue::try_from(origin).expect("text"));
    headers.insert("access-control-request-method", HeaderValue::try_from(method).expect("text"));
    let asked = HeaderValue::from_static("authorization,content-type,x-grpc-web,if-match");
    headers.insert("access-control-request-headers", asked);
    client(gateway).send(request).await
}

fn client(gateway: &TestGateway) -> HttpClient {
    HttpClient::new(Place::Tcp(gateway.addresses.http), None)
}

#[tokio::test]
async fn a_configured_origin_may_call() {
    let gateway = gateway().await;
    for (method, path) in CALLS {
        let answer = preflight(&gateway, FRIEND, method, path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(FRIEND), "{path}");
        let methods = answer.header("access-control-allow-methods").unwrap_or_default();
        assert!(methods.contains(method), "{path}: {methods}");
        let headers = answer.header("access-control-allow-headers").unwrap_or_default();
        for header in ["authorization", "content-type", "x-grpc-web", "if-match"] {
            assert!(headers.contains(header), "{path}: {headers}");
        }
    }
    let mut list = request(Method::GET, "/v1/repos", "");
    list.headers_mut().insert("origin", HeaderValue::from_static(FRIEND));
    let answer = client(&gateway).send(list).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some(FRIEND));
    let exposed = answer.header("access-control-expose-headers").unwrap_or_default();
    for header in ["grpc-status", "grpc-message", "etag", "x-request-id"] {
        assert!(exposed.contains(header), "{exposed}");
    }
}

#[tokio::test]
async fn no_other_origin_may_call() {
    let gateway = gateway().await;
    for origin in STRANGERS {
        for (method, path) in CALLS {
            let answer = preflight(&gateway, origin, method, path).await;
            assert_eq!(answer.header("access-control-allow-origin"), None, "{origin} {path}");
        }
        let mut list = request(Method::GET, "/v1/repos", "");
        list.headers_mut().insert("origin", HeaderValue::try_from(origin).expect("text"));
        let answer = client(&gateway).send(list).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
    }
}

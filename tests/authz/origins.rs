//! Pages of other origins: the ones that are configured may call, others not.

use http::{HeaderValue, Method};
use vdom_testkit::gateway::{TestGateway, config};
use vdom_testkit::http::{HttpAnswer, HttpClient, Place, request};
use vdom_testkit::sidecar::TestSidecar;

use crate::refusal::Refusal;

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

/// A gateway and a sidecar on which `FRIEND` may call, and everyone is anonymous.
async fn servers() -> (TestGateway, TestSidecar) {
    let mut config = config();
    config.web.origins = vec![FRIEND.to_owned()];
    let gateway = TestGateway::with(config).await;
    let sidecar = TestSidecar::with(&gateway.grpc_url(), |config| {
        config.dev = true;
        config.web.origins = vec![FRIEND.to_owned()];
    })
    .await;
    (gateway, sidecar)
}

fn places(gateway: &TestGateway, sidecar: &TestSidecar) -> [Place; 3] {
    let (http, tcp) = (gateway.addresses.http, sidecar.addresses.tcp);
    [Place::Tcp(http), Place::Tcp(tcp), Place::Unix(sidecar.socket())]
}

/// What a browser asks before it lets the page call.
async fn preflight(place: &Place, origin: &str, method: &str, path: &str) -> HttpAnswer {
    let mut request = request(Method::OPTIONS, path, "");
    let headers = request.headers_mut();
    headers.insert("origin", HeaderValue::try_from(origin).expect("text"));
    headers.insert("access-control-request-method", HeaderValue::try_from(method).expect("text"));
    let asked = HeaderValue::from_static(
        "authorization,content-type,x-grpc-web,if-match,tracestate,baggage",
    );
    headers.insert("access-control-request-headers", asked);
    HttpClient::new(place.clone(), None).send(request).await
}

/// What a page sends, whether it may or not.
async fn call(place: &Place, origin: &str, method: Method, path: &str) -> HttpAnswer {
    let mut request = request(method, path, "");
    request.headers_mut().insert("origin", HeaderValue::try_from(origin).expect("text"));
    HttpClient::new(place.clone(), None).send(request).await
}

#[tokio::test]
async fn a_configured_origin_may_call() {
    let (gateway, sidecar) = servers().await;
    for place in places(&gateway, &sidecar) {
        for (method, path) in CALLS {
            let answer = preflight(&place, FRIEND, method, path).await;
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            assert_eq!(answer.header("access-control-allow-origin"), Some(FRIEND), "{path}");
            let methods = answer.header("access-control-allow-methods").unwrap_or_default();
            assert!(methods.contains(method), "{path}: {methods}");
            let headers = answer.header("access-control-allow-headers").unwrap_or_default();
            for header in
                ["authorization", "content-type", "x-grpc-web", "if-match", "tracestate", "baggage"]
            {
                assert!(headers.contains(header), "{path}: {headers}");
            }
        }
        let answer = call(&place, FRIEND, Method::GET, "/v1/repos").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(FRIEND));
        let exposed = answer.header("access-control-expose-headers").unwrap_or_default();
        for header in ["grpc-status", "grpc-message", "etag", "x-request-id"] {
            assert!(exposed.contains(header), "{exposed}");
        }
    }
}

#[tokio::test]
async fn no_other_origin_may_call() {
    let (gateway, sidecar) = servers().await;
    for origin in STRANGERS {
        for place in places(&gateway, &sidecar) {
            for (method, path) in CALLS {
                let answer = preflight(&place, origin, method, path).await;
                let allowed = answer.header("access-control-allow-origin");
                assert_eq!(allowed, None, "{origin} {path} at {place:?}");
            }
            let answer = call(&place, origin, Method::GET, "/v1/repos").await;
            assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
            let refusal = Refusal::from_http(&answer);
            assert_eq!((&*refusal.code, refusal.rule()), ("PermissionDenied", Some("origin")));
            for word in [&*format!("{origin:?}"), "`web.origins`"] {
                assert!(refusal.message.contains(word), "{refusal:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_browser_sends_without_asking_changes_nothing() {
    let (gateway, sidecar) = servers().await;
    let mut client = gateway.client().await;
    client.overwrite("a", b"content").await.expect("written");
    for place in places(&gateway, &sidecar) {
        let rename = "/v1/repos/repo/branches/main/nodes/a?rename=b";
        let answer = call(&place, STRANGERS[0], Method::POST, rename).await;
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    assert_eq!(client.read("a").await.expect("it is still there").content, b"content"[..]);
}

#[tokio::test]
async fn own_pages_and_programs_may_call() {
    let (gateway, sidecar) = servers().await;
    for place in places(&gateway, &sidecar) {
        let Place::Tcp(address) = &place else { continue };
        for origin in [format!("http://{address}"), format!("https://{address}")] {
            let mut request = request(Method::GET, "/v1/repos", "");
            let headers = request.headers_mut();
            headers.insert("origin", HeaderValue::try_from(origin).expect("text"));
            let host = HeaderValue::try_from(address.to_string()).expect("text");
            headers.insert("host", host);
            let answer = HttpClient::new(place.clone(), None).send(request).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        let answer = HttpClient::new(place, None).get("/v1/repos").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

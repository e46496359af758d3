//! Health pages.

use http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;

struct Store {
    ready: bool,
}

impl Readiness for Store {
    fn checks(&self) -> Vec<Check> {
        vec![Check { name: "store", ready: self.ready, detail: "fsync failed".to_owned() }]
    }
}

async fn get_from(ready: bool, path: &str) -> (StatusCode, String) {
    let router = router(Metrics::new("gateway", "1"), Arc::new(Store { ready }));
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = router.oneshot(request).await.expect("infallible");
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn readiness_names_what_is_wrong_and_liveness_does_not_care() {
    let (status, body) = get_from(false, "/health/ready").await;
    assert_eq!(status, 503);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&body).expect("JSON"),
        json!({
            "status": "not ready",
            "checks": [{ "name": "store", "ready": false, "detail": "fsync failed" }],
        })
    );
    assert_eq!(get_from(false, "/health").await.0, 503);
    assert_eq!(get_from(false, "/health/live").await.0, 200);
    assert_eq!(get_from(true, "/health/ready").await.0, 200);
}

#[tokio::test]
async fn metrics_are_served() {
    let (status, body) = get_from(true, "/metrics").await;
    assert_eq!(status, 200);
    assert!(body.ends_with("# EOF\n"), "{body}");
}

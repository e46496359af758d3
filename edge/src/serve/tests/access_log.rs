//! What a request leaves in the log.

use std::io;

use axum::body::Body;
use axum::response::IntoResponse;
use parking_lot::Mutex;
use serde_json::Value;
use tower::ServiceExt;
use tracing_subscriber::fmt::MakeWriter;
use vdom_core::Error;

use super::*;
use crate::error::to_response;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().clone()).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// Keeps every log line of interest to somebody: where a line is met first by a
/// test that does not listen, those beside it may otherwise never hear it.
fn listen_always() {
    static LISTENING: std::sync::Once = std::sync::Once::new();
    LISTENING.call_once(|| {
        let nowhere = tracing_subscriber::fmt().with_writer(io::sink).finish();
        tracing::subscriber::set_global_default(nowhere).expect("nobody else sets one");
    });
}

/// Asks `router` and reads the answer to its end; returns the log.
async fn logged(router: Router, request: http::Request<Body>) -> Vec<Value> {
    listen_always();
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_writer(log.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let service = RequestService::new(router, context(&Metrics::new("test", "1")));
    let response = service.oneshot(request).await.expect("infallible");
    // A body that breaks off is one of the cases.
    let _ = response.into_body().collect().await;
    drop(guard);
    log.lines()
}

fn request(path: &str) -> http::Request<Body> {
    http::Request::get(path).header("x-request-id", "job-7").body(Body::empty()).expect("a request")
}

#[tokio::test]
async fn a_request_is_one_line_with_all_that_finds_it_again() {
    let lines = logged(router(), request("/?token=secret")).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    for (name, value) in [
        ("level", "INFO"),
        ("target", "vdom::access"),
        ("method", "GET"),
        ("path", "/"),
        ("user", "anonymous"),
        ("request_id", "job-7"),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
    assert_eq!(line["status"], 200);
    assert!(line["latency_ms"].is_number());
    assert!(!line.to_string().contains("secret"), "{line}");
}

#[tokio::test]
async fn an_errors_context_is_logged_once_under_the_requests_id() {
    let fails = get(|| async {
        let error = Error::internal("the disk is on fire");
        to_response(&error, "job-7").into_response()
    });
    let lines = logged(Router::new().route("/", fails), request("/")).await;
    let about: Vec<_> = lines.iter().filter(|line| line.to_string().contains("on fire")).collect();
    assert_eq!(about.len(), 1, "{lines:?}");
    assert_eq!(about[0]["context"], "the disk is on fire");
    assert_eq!(about[0]["request_id"], "job-7");
    assert_eq!(about[0]["span"]["request_id"], "job-7");
}

#[tokio::test]
async fn statuses_of_grpc_are_logged_wherever_they_stand() {
    let in_head = get(|| async { [("grpc-status", "5")].into_response() });
    let in_trailers = get(|| async {
        let trailers = http::HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            http::HeaderValue::from_static("7"),
        )]);
        let body = http_body_util::Full::new(bytes::Bytes::from_static(b"x"))
            .with_trailers(std::future::ready(Some(Ok(trailers))));
        http::Response::new(Body::new(body))
    });
    let in_web_frame = get(|| async {
        let trailers = b"grpc-status:9\r\ngrpc-message:x\r\n";
        let frame = [&[0x80, 0, 0, 0, trailers.len() as u8][..], trailers].concat();
        ([("content-type", "application/grpc-web+proto")], frame).into_response()
    });
    for (route, status) in [(in_head, 5), (in_trailers, 7), (in_web_frame, 9)] {
        let lines = logged(Router::new().route("/", route), request("/")).await;
        assert_eq!(lines[0]["grpc_status"], status, "{lines:?}");
    }
}

#[tokio::test]
async fn a_fault_while_the_body_streams_ends_that_body_alone() {
    let breaks = get(|| async {
        let pieces = futures::stream::iter([1, 2])
            .map(|piece| if piece == 1 { Ok::<_, io::Error>("one") } else { panic!("mid-body") });
        Body::from_stream(pieces)
    });
    let lines = logged(Router::new().route("/", breaks), request("/")).await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0]["message"].to_string().contains("mid-body"), "{lines:?}");
    assert_eq!(lines[1]["target"], "vdom::access");
}

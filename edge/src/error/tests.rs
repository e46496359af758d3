//! The error table, in both directions.

use std::time::Duration;

use http_body_util::BodyExt;

use super::*;

fn full(code: ErrorCode) -> Error {
    Error::new(code, "what, where, what to do")
        .resource("default/vdom/main:src/lib.rs")
        .at(7, 12)
        .oldest_revision(3)
        .retry_after(Duration::from_millis(1500))
        .rule("scope dom.write")
        .context("secret detail")
}

#[test]
fn every_code_survives_grpc_with_all_that_a_client_may_know() {
    for code in ErrorCode::ALL {
        let status = to_status(full(code), "request-1");
        assert_eq!(status.code(), grpc_code(code));
        let details = status.get_error_details();
        assert_eq!(details.request_info().map(|info| info.request_id.as_str()), Some("request-1"));
        let expected = Error { context: None, ..full(code) };
        assert_eq!(from_status(&status), expected);
    }
}

#[test]
fn the_table_is_the_one_of_the_contract() {
    let expected = [
        (ErrorCode::InvalidArgument, Code::InvalidArgument, 400),
        (ErrorCode::Unauthenticated, Code::Unauthenticated, 401),
        (ErrorCode::PermissionDenied, Code::PermissionDenied, 403),
        (ErrorCode::NotFound, Code::NotFound, 404),
        (ErrorCode::AlreadyExists, Code::AlreadyExists, 409),
        (ErrorCode::Conflict, Code::Aborted, 409),
        (ErrorCode::FailedPrecondition, Code::FailedPrecondition, 412),
        (ErrorCode::EpochChanged, Code::FailedPrecondition, 412),
        (ErrorCode::TooLarge, Code::ResourceExhausted, 413),
        (ErrorCode::Exhausted, Code::ResourceExhausted, 429),
        (ErrorCode::Lagged, Code::ResourceExhausted, 429),
        (ErrorCode::Compacted, Code::OutOfRange, 410),
        (ErrorCode::Unavailable, Code::Unavailable, 503),
        (ErrorCode::DeadlineExceeded, Code::DeadlineExceeded, 504),
        (ErrorCode::Unimplemented, Code::Unimplemented, 501),
        (ErrorCode::Internal, Code::Internal, 500),
        (ErrorCode::DataLoss, Code::DataLoss, 500),
    ];
    assert_eq!(expected.map(|(code, ..)| code), ErrorCode::ALL);
    for (code, grpc, http) in expected {
        assert_eq!((grpc_code(code), http_status(code).as_u16()), (grpc, http), "{code:?}");
    }
}

#[tokio::test]
async fn a_problem_document_says_all_but_the_context() {
    let response = to_response(&full(ErrorCode::Exhausted), "request-1");
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["content-type"], PROBLEM_JSON);
    assert_eq!(response.headers()["retry-after"], "2");
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let problem: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(
        problem,
        serde_json::json!({
            "type": "urn:virtualdom:error:Exhausted", "title": "Full", "status": 429,
            "detail": "what, where, what to do", "code": "Exhausted",
            "resource": "default/vdom/main:src/lib.rs", "epoch": 7, "revision": 12,
            "oldest_revision": 3, "rule": "scope dom.write", "request_id": "request-1",
        })
    );
}

#[test]
fn who_has_no_token_is_told_how_to_bring_one() {
    let response = to_response(&Error::new(ErrorCode::Unauthenticated, "no token"), "r");
    assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"virtualdom\"");
}

#[test]
fn foreign_statuses_keep_their_meaning() {
    let read = |code| from_status(&Status::new(code, "said a proxy")).code;
    assert_eq!(read(Code::Unavailable), ErrorCode::Unavailable);
    assert_eq!(read(Code::Cancelled), ErrorCode::Unavailable);
    assert_eq!(read(Code::DeadlineExceeded), ErrorCode::DeadlineExceeded);
    assert_eq!(read(Code::ResourceExhausted), ErrorCode::Exhausted);
    assert_eq!(read(Code::OutOfRange), ErrorCode::TooLarge);
    assert_eq!(read(Code::Unknown), ErrorCode::Internal);
    let broken = Status::from_error(Box::new(std::io::Error::other("connection reset")));
    assert_eq!(from_status(&broken).code, ErrorCode::Unavailable);
    let late = Status::from_error(Box::new(tonic::TimeoutExpired(())));
    assert_eq!(from_status(&late).code, ErrorCode::DeadlineExceeded);
}

#[test]
fn whatever_a_caller_sent_the_status_fits_a_clients_headers() {
    /// What clients take where nobody says otherwise.
    const CLIENT_HEADERS_MAX_BYTES: usize = 8 << 10;
    for text in ["\u{1}", "\n", "é", "\u{1f600}", "%", "\"", "a"] {
        let path = text.repeat(1_000);
        let error = Error::invalid(format!("path {path:?} is none: {path}"))
            .resource(format!("default/vdom/main:{path}"))
            .rule(format!("scope {path}"));
        let response = to_status(error.clone(), &"x".repeat(128)).into_http::<Body>();
        let bytes =
            response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32);
        let bytes: usize = bytes.sum();
        assert!(bytes <= CLIENT_HEADERS_MAX_BYTES, "{text:?}: {bytes}");
        let problem = problem(&error, "request-1");
        let detail = problem["detail"].as_str().expect("text");
        assert!(!detail.chars().any(char::is_control) && detail.len() <= 1_024, "{detail}");
        assert!(detail.starts_with("path ") && detail.ends_with('…'), "{detail}");
    }
    let short = Error::invalid("path \"a\u{7}b\" is none");
    assert_eq!(problem(&short, "")["detail"], "path \"a\\u{7}b\" is none");
}

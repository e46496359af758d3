//! A refusal as a client reads it, the same from every door.

use std::collections::BTreeMap;

use http::StatusCode;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use vdom_testkit::http::HttpAnswer;

/// The error table as it is promised: the code's name, gRPC, HTTP.
const TABLE: [(&str, Code, u16); 17] = [
    ("InvalidArgument", Code::InvalidArgument, 400),
    ("Unauthenticated", Code::Unauthenticated, 401),
    ("PermissionDenied", Code::PermissionDenied, 403),
    ("NotFound", Code::NotFound, 404),
    ("AlreadyExists", Code::AlreadyExists, 409),
    ("Conflict", Code::Aborted, 409),
    ("FailedPrecondition", Code::FailedPrecondition, 412),
    ("EpochChanged", Code::FailedPrecondition, 412),
    ("TooLarge", Code::ResourceExhausted, 413),
    ("Exhausted", Code::ResourceExhausted, 429),
    ("Lagged", Code::ResourceExhausted, 429),
    ("Compacted", Code::OutOfRange, 410),
    ("Unavailable", Code::Unavailable, 503),
    ("DeadlineExceeded", Code::DeadlineExceeded, 504),
    ("Unimplemented", Code::Unimplemented, 501),
    ("Internal", Code::Internal, 500),
    ("DataLoss", Code::DataLoss, 500),
];

/// Why a call was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The error code's name.
    pub(crate) code: String,
    /// For people.
    pub(crate) message: String,
    /// Such as `rule`, `resource`, `revision`.
    pub(crate) facts: BTreeMap<String, String>,
}

impl Refusal {
    /// Reads a gRPC status; panics where it is not as the table promises.
    pub(crate) fn from_grpc(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
        assert_eq!(info.domain, "virtualdom.v1", "{status:?}");
        assert_eq!(status.code(), row(&info.reason).1, "{status:?}");
        let request =
            details.request_info().unwrap_or_else(|| panic!("no RequestInfo: {status:?}"));
        assert!(!request.request_id.is_empty(), "{status:?}");
        Self {
            code: info.reason.clone(),
            message: status.message().to_owned(),
            facts: info.metadata.clone().into_iter().collect(),
        }
    }

    /// Reads a problem document; panics where it is not as the table promises.
    pub(crate) fn from_http(answer: &HttpAnswer) -> Self {
        let content_type = answer.header("content-type");
        assert_eq!(content_type, Some("application/problem+json"), "{answer:?}");
        let problem = answer.json();
        let text = |name: &str| match &problem[name] {
            serde_json::Value::String(text) => text.clone(),
            other => panic!("no text {name:?}: {other}"),
        };
        let code = text("code");
        assert_eq!(answer.status.as_u16(), row(&code).2, "{problem}");
        assert_eq!(problem["status"], answer.status.as_u16(), "{problem}");
        assert_eq!(problem["type"], format!("urn:virtualdom:error:{code}"), "{problem}");
        assert_eq!(Some(&*text("request_id")), answer.header("x-request-id"), "{problem}");
        if answer.status == StatusCode::UNAUTHORIZED {
            let challenge = answer.header("www-authenticate");
            assert!(challenge.is_some_and(|it| it.starts_with("Bearer")), "{answer:?}");
        }
        let about =
            ["type", "title", "status", "detail", "code", "request_id", "conflict", "conflicts"];
        let facts = problem.as_object().into_iter().flatten();
        let facts = facts.filter(|(name, _)| !about.contains(&name.as_str()));
        let plain = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let facts = facts.map(|(name, value)| (name.clone(), plain(value))).collect();
        Self { message: text("detail"), facts, code }
    }

    /// The rule that denied.
    pub(crate) fn rule(&self) -> Option<&str> {
        self.facts.get("rule").map(String::as_str)
    }
}

fn row(code: &str) -> (&'static str, Code, u16) {
    let row = TABLE.into_iter().find(|(name, ..)| *name == code);
    row.unwrap_or_else(|| panic!("{code:?} is not in the error table"))
}

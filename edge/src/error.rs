//! The one error table: how each code leaves over gRPC and over HTTP, and how a
//! client reads it back.

use std::borrow::Cow;
use std::collections::HashMap;

use axum::body::Body;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Map, Value};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use vdom_core::{Error, ErrorCode};

/// The domain of the `google.rpc.ErrorInfo` in every refusal.
pub const ERROR_DOMAIN: &str = "virtualdom.v1";
/// The media type of a refusal over HTTP (RFC 9457).
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The longest message, and the longest name beside it. Over gRPC a byte of the message takes
/// three and four thirds, one of a name four thirds: together below the 8 KiB of headers that
/// clients take.
const SHOWN_MAX_BYTES: usize = 1_024;
/// Where a text was cut.
const CUT: char = '…';

struct Row {
    grpc: Code,
    http: StatusCode,
    title: &'static str,
}

const fn row(code: ErrorCode) -> Row {
    const fn row(grpc: Code, http: StatusCode, title: &'static str) -> Row {
        Row { grpc, http, title }
    }
    match code {
        ErrorCode::InvalidArgument => {
            row(Code::InvalidArgument, StatusCode::BAD_REQUEST, "Invalid request")
        }
        ErrorCode::Unauthenticated => {
            row(Code::Unauthenticated, StatusCode::UNAUTHORIZED, "No valid token")
        }
        ErrorCode::PermissionDenied => {
            row(Code::PermissionDenied, StatusCode::FORBIDDEN, "Not allowed")
        }
        ErrorCode::NotFound => row(Code::NotFound, StatusCode::NOT_FOUND, "Not found"),
        ErrorCode::AlreadyExists => {
            row(Code::AlreadyExists, StatusCode::CONFLICT, "Already exists")
        }
        ErrorCode::Conflict => row(Code::Aborted, StatusCode::CONFLICT, "Conflict"),
        ErrorCode::FailedPrecondition => row(
            Code::FailedPrecondition,
            StatusCode::PRECONDITION_FAILED,
            "Not in the state that the request expects",
        ),
        ErrorCode::EpochChanged => row(
            Code::FailedPrecondition,
            StatusCode::PRECONDITION_FAILED,
            "The log began anew since",
        ),
        ErrorCode::TooLarge => {
            row(Code::ResourceExhausted, StatusCode::PAYLOAD_TOO_LARGE, "Above a limit")
        }
        ErrorCode::Exhausted => row(Code::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS, "Full"),
        ErrorCode::Lagged => {
            row(Code::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS, "Too slow a reader")
        }
        ErrorCode::Compacted => row(Code::OutOfRange, StatusCode::GONE, "No longer kept"),
        ErrorCode::Unavailable => {
            row(Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE, "Try again later")
        }
        ErrorCode::DeadlineExceeded => {
            row(Code::DeadlineExceeded, StatusCode::GATEWAY_TIMEOUT, "Out of time")
        }
        ErrorCode::Unimplemented => {
            row(Code::Unimplemented, StatusCode::NOT_IMPLEMENTED, "Not offered")
        }
        ErrorCode::Internal => {
            row(Code::Internal, StatusCode::INTERNAL_SERVER_ERROR, "Internal error")
        }
        ErrorCode::DataLoss => {
            row(Code::DataLoss, StatusCode::INTERNAL_SERVER_ERROR, "Stored bytes are damaged")
        }
    }
}

/// The gRPC code of an error.
pub fn grpc_code(code: ErrorCode) -> Code {
    row(code).grpc
}

/// The HTTP status of an error.
pub fn http_status(code: ErrorCode) -> StatusCode {
    row(code).http
}

/// The error as it leaves over gRPC, with `google.rpc` details. Its context
/// goes to the log here and nowhere else.
pub fn to_status(error: Error, request_id: &str) -> Status {
    log_context(&error, request_id);
    let metadata: HashMap<String, String> =
        facts(&error).map(|(name, fact)| (name.to_owned(), fact.into_text())).collect();
    let mut details = ErrorDetails::with_error_info(error.code.name(), ERROR_DOMAIN, metadata);
    if error.retry_after.is_some() {
        details.set_retry_info(error.retry_after);
    }
    if !request_id.is_empty() {
        details.set_request_info(request_id, "");
    }
    let code = grpc_code(error.code);
    let message = match shown(&error.message) {
        Cow::Owned(shown) => shown,
        Cow::Borrowed(_) => error.message,
    };
    Status::with_error_details(code, message, details)
}

/// The error that a peer answered with. A status that is not ours keeps its
/// meaning as far as its code tells.
pub fn from_status(status: &Status) -> Error {
    let details = status.get_error_details();
    let info = details.error_info().filter(|info| info.domain == ERROR_DOMAIN);
    let Some((info, code)) =
        info.and_then(|info| Some((info, ErrorCode::from_name(&info.reason)?)))
    else {
        return from_foreign_status(status);
    };
    let number = |name: &str| info.metadata.get(name).and_then(|text| text.parse().ok());
    Error {
        resource: info.metadata.get("resource").cloned(),
        epoch: number("epoch"),
        revision: number("revision"),
        oldest_revision: number("oldest_revision"),
        rule: info.metadata.get("rule").cloned(),
        retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
        ..Error::new(code, status.message())
    }
}

/// The error as it leaves over HTTP: `application/problem+json`. Its context
/// goes to the log here and nowhere else.
pub fn to_response(error: &Error, request_id: &str) -> Response<Body> {
    to_response_with(error, request_id, Map::new())
}

/// As [`to_response`], with more members in the problem document.
pub fn to_response_with(
    error: &Error,
    request_id: &str,
    members: Map<String, Value>,
) -> Response<Body> {
    let row = row(error.code);
    let mut problem = problem(error, request_id);
    if let Value::Object(problem) = &mut problem {
        problem.extend(members);
    }

    let mut response = Response::new(Body::from(problem.to_string()));
    *response.status_mut() = row.http;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if let Some(delay) = error.retry_after.or(default_retry_after(error.code)) {
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if error.code == ErrorCode::Unauthenticated {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"virtualdom\""));
    }
    response
}

/// The problem document of an error (RFC 9457), for where a body is under way
/// already. Its context goes to the log here and nowhere else.
pub fn problem(error: &Error, request_id: &str) -> Value {
    log_context(error, request_id);
    let row = row(error.code);
    let mut problem = Map::new();
    problem.insert("type".into(), format!("urn:virtualdom:error:{}", error.code.name()).into());
    problem.insert("title".into(), row.title.into());
    problem.insert("status".into(), row.http.as_u16().into());
    problem.insert("detail".into(), shown(&error.message).into());
    problem.insert("code".into(), error.code.name().into());
    for (name, fact) in facts(error) {
        problem.insert(name.into(), fact.into_json());
    }
    problem.insert("request_id".into(), request_id.into());
    Value::Object(problem)
}

enum Fact<'a> {
    Text(&'a str),
    Number(u64),
}

impl Fact<'_> {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => shown(text).into_owned(),
            Self::Number(number) => number.to_string(),
        }
    }

    fn into_json(self) -> Value {
        match self {
            Self::Text(text) => shown(text).into(),
            Self::Number(number) => number.into(),
        }
    }
}

/// Text that may repeat a caller's bytes, as a status may carry it: on one line, and so long
/// at most that all of it fits the headers of a client, however it is encoded there.
fn shown(text: &str) -> Cow<'_, str> {
    if text.len() <= SHOWN_MAX_BYTES && !text.chars().any(char::is_control) {
        return text.into();
    }
    let mut shown = String::with_capacity(SHOWN_MAX_BYTES);
    for character in text.chars() {
        let length = if character.is_control() {
            character.escape_default().count()
        } else {
            character.len_utf8()
        };
        if shown.len() + length + CUT.len_utf8() > SHOWN_MAX_BYTES {
            shown.push(CUT);
            break;
        }
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown.into()
}

/// What a client may know beside the message, by its name on the wire.
fn facts(error: &Error) -> impl Iterator<Item = (&'static str, Fact<'_>)> {
    [
        ("resource", error.resource.as_deref().map(Fact::Text)),
        ("epoch", error.epoch.map(Fact::Number)),
        ("revision", error.revision.map(Fact::Number)),
        ("oldest_revision", error.oldest_revision.map(Fact::Number)),
        ("rule", error.rule.as_deref().map(Fact::Text)),
    ]
    .into_iter()
    .filter_map(|(name, fact)| Some((name, fact?)))
}

/// A client that is told to come back later must be told when.
fn default_retry_after(code: ErrorCode) -> Option<std::time::Duration> {
    matches!(code, ErrorCode::Exhausted | ErrorCode::Lagged | ErrorCode::Unavailable)
        .then_some(std::time::Duration::from_secs(1))
}

fn log_context(error: &Error, request_id: &str) {
    let code = error.code.name();
    let context = error.context.as_deref();
    match error.code {
        ErrorCode::Internal | ErrorCode::DataLoss => {
            tracing::error!(request_id, code, context, "{}", error.message);
        }
        _ if context.is_some() => tracing::info!(request_id, code, context, "{}", error.message),
        _ => {}
    }
}

/// Whether an error of this type lies below the status.
fn has_source<E: std::error::Error + 'static>(status: &Status) -> bool {
    let below = std::error::Error::source(status);
    std::iter::successors(below, |error| error.source()).any(<dyn std::error::Error>::is::<E>)
}

fn from_foreign_status(status: &Status) -> Error {
    let code = match status.code() {
        Code::InvalidArgument => ErrorCode::InvalidArgument,
        Code::Unauthenticated => ErrorCode::Unauthenticated,
        Code::PermissionDenied => ErrorCode::PermissionDenied,
        Code::NotFound => ErrorCode::NotFound,
        Code::AlreadyExists => ErrorCode::AlreadyExists,
        Code::Aborted => ErrorCode::Conflict,
        Code::FailedPrecondition => ErrorCode::FailedPrecondition,
        Code::ResourceExhausted => ErrorCode::Exhausted,
        // Compaction always names itself; a message above the limit of the
        // library that decodes it does not.
        Code::OutOfRange => ErrorCode::TooLarge,
        // The client's own clock ran out.
        Code::Cancelled if has_source::<tonic::TimeoutExpired>(status) => {
            ErrorCode::DeadlineExceeded
        }
        // The peer went away in the middle of the call.
        Code::Unavailable | Code::Cancelled => ErrorCode::Unavailable,
        Code::DeadlineExceeded => ErrorCode::DeadlineExceeded,
        Code::Unimplemented => ErrorCode::Unimplemented,
        Code::DataLoss => ErrorCode::DataLoss,
        // A connection that broke is reported as unknown, with its cause.
        _ if std::error::Error::source(status).is_some() => ErrorCode::Unavailable,
        Code::Ok | Code::Unknown | Code::Internal => ErrorCode::Internal,
    };
    match code {
        ErrorCode::Internal => Error::internal(format_args!("the peer answered {status}")),
        ErrorCode::Unavailable => Error::unavailable("the server cannot be reached: try again")
            .context(format_args!("{status}; {:?}", std::error::Error::source(status))),
        _ => Error::new(code, status.message()),
    }
}

#[cfg(test)]
mod tests;

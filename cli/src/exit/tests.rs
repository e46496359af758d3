//! Exit codes and advice for what servers answer.

use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt};

use super::*;

#[test]
fn every_error_code_has_its_exit_code() {
    let exit = |status: Status| Failure::from(status).exit;
    assert_eq!(exit(Status::not_found("x")), Exit::NotFound);
    assert_eq!(exit(Status::already_exists("x")), Exit::Conflict);
    assert_eq!(exit(Status::failed_precondition("x")), Exit::Conflict);
    assert_eq!(exit(Status::unauthenticated("x")), Exit::Denied);
    assert_eq!(exit(Status::permission_denied("x")), Exit::Denied);
    assert_eq!(exit(Status::unavailable("x")), Exit::Unavailable);
    assert_eq!(exit(Status::deadline_exceeded("x")), Exit::Unavailable);
    assert_eq!(exit(Status::invalid_argument("x")), Exit::Failed);
    assert_eq!(exit(Status::internal("x")), Exit::Failed);
}

#[test]
fn the_details_of_a_refusal_are_more_exact_than_its_grpc_code() {
    let mut details = ErrorDetails::new();
    details.set_error_info("TooLarge", "virtualdom.v1", std::collections::HashMap::new());
    details.set_request_info("r-1", "");
    let status = Status::with_error_details(Code::ResourceExhausted, "4 MiB at most", details);
    let failure = Failure::from(status);
    assert_eq!((failure.code, failure.exit), (Some(ErrorCode::TooLarge), Exit::Failed));
    assert_eq!(failure.request_id.as_deref(), Some("r-1"));
}

#[test]
fn a_refused_token_says_how_to_give_one() {
    let failure = Failure::from(Status::unauthenticated("the token has expired"));
    assert!(failure.advice.is_some_and(|advice| advice.contains("VDOM_TOKEN")));
}

#[test]
fn a_connection_that_broke_may_come_back() {
    let broken = Status::from_error(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)));
    assert_eq!(Failure::from(broken).exit, Exit::Unavailable);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
    assert_eq!((failure.exit, failure.message.as_str()), (Exit::Done, ""));
}

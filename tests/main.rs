//! The integration tests of vdom: one binary, a folder for each subject.

#![allow(
    clippy::disallowed_methods,
    reason = "a test may look at the clock, and waits for processes"
)]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and a skipped one says so"
)]

mod architecture;
mod authz;
mod bad_input;
mod cli;
mod clients;
mod envoy;
mod git;
mod journeys;
mod merging;
mod parity;
mod refusal;
mod sidecar;
mod startup;
mod storage;

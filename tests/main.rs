//! The integration tests of vdom: one binary, a folder for each subject.

mod architecture;
mod authz;
mod bad_input;
mod cli;
mod journeys;
mod parity;
mod refusal;
mod sidecar;
mod storage;

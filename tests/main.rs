//! tests
mod architecture;
mod authz;
mod bad_input;
mod journeys;
mod parity;
mod refusal;
mod storage;

//! tests
mod architecture;
mod authz;
mod journeys;
mod refusal;
mod storage;

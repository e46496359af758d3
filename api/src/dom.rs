//! The document room's service, and its doors.

mod change_set_counter;
pub mod convert;
mod events;
pub mod grpc;
mod response_limit;
pub mod rest;
mod service;

pub use events::{in_batches, one_by_one};
pub use service::DocumentService;

#[cfg(test)]
mod fake;

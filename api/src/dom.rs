//! The document room's service, and its doors.

pub mod convert;
pub mod grpc;
mod response_limit;
pub mod rest;
mod service;

pub use service::{DocumentService, EVENT_FORMS, EventEncoder, StoredChange};

#[cfg(test)]
mod fake;

//! The gRPC adapter: `virtualdom.v1` on the wire, [`DocumentService`](crate::dom::DocumentService) inside.

mod call;
pub mod change_set;
mod event_encoding;
mod server;
mod service;
mod subscription;
pub mod web;

pub use server::{Compression, DomServer, server};

#[cfg(test)]
mod tests;

//! The gRPC adapter: `virtualdom.v1` on the wire, [`DocumentService`](crate::dom::DocumentService) inside.

mod call;
pub mod change_set;
mod compression;
mod event_encoding;
pub mod fast_path;
mod library_refusal;
mod memory_reads;
pub mod protobuf;
mod server;
mod service;
mod subscription;
pub mod web;

pub use compression::Compression;
pub use memory_reads::MemoryReads;
pub use server::{DocumentServer, document_server};

#[cfg(test)]
mod tests;

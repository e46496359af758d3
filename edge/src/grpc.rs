//! The gRPC adapter: `virtualdom.v1` on the wire, [`crate::Dom`] inside.

pub mod from_wire;
mod server;
mod service;
pub mod to_wire;
pub mod web;
mod write_stream;

pub use server::{Compression, DomServer, server};

#[cfg(test)]
mod tests;

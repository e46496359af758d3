//! The gRPC adapter: `virtualdom.v1` on the wire, [`crate::Dom`] inside.

mod call;
pub mod change_set;
mod frames;
pub mod from_wire;
mod server;
mod service;
mod subscription;
pub mod to_wire;
pub mod web;

pub use server::{Compression, DomServer, server};

#[cfg(test)]
mod tests;

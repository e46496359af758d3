//! The sidecar: the gateway's calls on localhost, cached.
//!
//! [`sidecar`] answers every call: reads from [`cache`] while [`follow`] keeps
//! it true, one [`branch`] at a time, all else from [`upstream`], the gateway.

mod apply;
mod branch;
mod branches;
mod cache;
mod environment;
#[cfg(test)]
mod fixtures;
mod follow;
mod identity;
mod rights;
mod sidecar;
mod upstream;

pub use environment::Environment;

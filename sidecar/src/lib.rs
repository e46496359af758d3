//! The sidecar: the gateway's calls on localhost, cached.
//!
//! | part | what it does |
//! |---|---|
//! | [`app`] | the only wiring |
//! | [`config`] | what an operator may set |
//! | `sidecar` | answers every call: reads from memory where that is true |
//! | `branch`, `branches` | what is known of a branch, and how true it is |
//! | `cache`, `apply` | nodes in memory, and what a change does to them |
//! | `follow` | keeps a branch true by its changes |
//! | `upstream`, `identity` | the gateway, and who the sidecar is to it |
//! | `cached_reads` | the shortest way to a cached node |
//! | `workers` | one serving thread per core |
//! | `observe` | readiness and metrics |

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may look at the clock"))]

pub mod app;
mod apply;
mod authorize;
mod branch;
mod branches;
mod cache;
mod cached_reads;
pub mod config;
#[cfg(test)]
mod fake_gateway;
#[cfg(test)]
mod fixtures;
mod follow;
mod identity;
mod local_watch;
mod observe;
mod sidecar;
mod upstream;
mod workers;

pub use app::{Addresses, Running, run, start};
pub use config::SidecarConfig;

//! The servers that are measured: ours and the peers, each with the calls it is
//! measured by.

mod calls;
mod peers;
pub(crate) mod process;
mod vdom;

use std::fmt;
use std::net::SocketAddr;

use crate::load::Calls;
pub(crate) use peers::{echo, etcd, redis};
use process::ServerProcess;
pub(crate) use vdom::{Gateway, Sidecar};

/// One side of a comparison.
pub(crate) struct Side {
    /// What it is and which version.
    pub(crate) name: String,
    /// When it answers a call, or why that does not matter.
    pub(crate) durability: &'static str,
    pub(crate) process: ServerProcess,
    pub(crate) address: SocketAddr,
    pub(crate) calls: Box<dyn Calls>,
}

/// A peer that is not installed.
#[derive(Debug)]
pub(crate) struct Missing {
    name: &'static str,
    package: &'static str,
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} is not installed: Debian package {}", self.name, self.package)
    }
}

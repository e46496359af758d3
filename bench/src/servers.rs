//! The servers that are measured: ours and the peers, each with the calls it is
//! measured by.

mod calls;
mod client;
mod etcd;
mod fill;
mod gateway;
pub(crate) mod git;
mod peers;
pub(crate) mod process;
mod sidecar;
mod watches;

use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::load::Calls;
use crate::load::fan_out::{Watches, Writes};
pub(crate) use calls::etcd as etcd_api;
pub(crate) use calls::{
    BRANCH, KEYS as WRITES_TOLD_APART, Noise, REPO, VALUE_BYTES, put_without_content, read_request,
    write_request,
};
pub(crate) use client::{Client, connect};
pub(crate) use etcd::{Etcd, etcd, etcd_ranges, start_etcd, watched_etcd};
pub(crate) use fill::Filling;
pub(crate) use gateway::{DURABILITY, Gateway};
pub(crate) use peers::{echo_of_reads, echo_of_writes, redis};
use process::ServerProcess;
pub(crate) use sidecar::Sidecar;
pub(crate) use watches::{Glance, whole_branch, whole_keys};

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

/// One side of a comparison by its subscribers.
pub(crate) struct WatchedSide {
    pub(crate) name: String,
    pub(crate) durability: &'static str,
    /// Which may be watched in more than one way.
    pub(crate) process: Rc<ServerProcess>,
    pub(crate) address: SocketAddr,
    pub(crate) watches: Box<dyn Watches>,
    pub(crate) writes: Box<dyn Writes>,
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

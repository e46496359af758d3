//! What a branch refuses, and what must not happen to it.

use vdom_core::{BranchAddress, Error};

use crate::branch::Branch;

/// The refusal of what was compacted.
pub(crate) fn history_compacted(branch: &Branch, revision: u64, oldest: u64) -> Error {
    let head = branch.head();
    Error::new(
        vdom_core::ErrorCode::Compacted,
        format!(
            "{} keeps its history from revision {oldest} on, not at {revision}: read it anew and \
             go on from there",
            branch.address
        ),
    )
    .resource(&branch.address)
    .at(head.epoch, head.revision)
    .oldest_revision(oldest)
}

/// A fault that must not happen: a batch that does not continue the log.
pub(crate) fn broken_chain(address: &BranchAddress, number: u64) -> Error {
    Error::new(
        vdom_core::ErrorCode::DataLoss,
        format!("the log of {address} is broken at batch {number}: run `vdom verify`"),
    )
    .resource(address)
}

//! To the wire: responses of a server, requests of a client. Bytes are moved.

#![expect(missing_docs, reason = "each makes the message of its name")]

mod change_sets;
mod conflicts;
mod requests;
mod responses;

pub use change_sets::{change_set_part, revert_changes, set_outcome, write_diffs};
pub use conflicts::{
    conflict_explanation, conflict_page, explain_conflict, list_conflicts, resolve_conflict,
    resolve_outcome,
};
pub use requests::{
    create_branch, delete_branch, get_history, list_branches, list_repos, read_snapshot,
    read_snapshots, read_tree, subscribe, write_diff,
};
pub use responses::{
    branch_page, branch_summary, event, history_page, repo_page, repo_summary, snapshot,
    snapshot_head, tree_entry, write_outcome,
};
pub(crate) use responses::{change_type, source};

use bytes::Bytes;
use prost_types::Timestamp;
use vdom_core::dom::calls::{AckLevel, OnConflict};
use vdom_core::{NodeKind, OperationId, VectorClock};
use vdom_proto::v1 as wire;

fn clock(clock: &VectorClock) -> wire::VectorClock {
    wire::VectorClock { entries: clock.entries().clone() }
}

pub(crate) fn kind(kind: NodeKind) -> i32 {
    match kind {
        NodeKind::File => wire::NodeKind::File,
        NodeKind::Intent => wire::NodeKind::Intent,
        NodeKind::Meta => wire::NodeKind::Meta,
    }
    .into()
}

pub(crate) fn operation_id(id: Option<OperationId>) -> Bytes {
    id.map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default()
}

fn on_conflict(rule: OnConflict) -> i32 {
    match rule {
        OnConflict::Reject => wire::OnConflict::Reject,
        OnConflict::Merge => wire::OnConflict::Merge,
        OnConflict::Overwrite => wire::OnConflict::Overwrite,
    }
    .into()
}

fn ack_level(ack: AckLevel) -> i32 {
    match ack {
        AckLevel::Local => wire::AckLevel::Local,
        AckLevel::Committed => wire::AckLevel::Committed,
    }
    .into()
}

pub(crate) fn timestamp(milliseconds: i64) -> Timestamp {
    let milliseconds = vdom_core::time::nearest(milliseconds);
    Timestamp {
        seconds: milliseconds.div_euclid(1_000),
        nanos: (milliseconds.rem_euclid(1_000) * 1_000_000) as i32,
    }
}

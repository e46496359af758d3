//! To the wire: answers of a server, requests of a client. Bytes are moved.

mod answers;
mod requests;

pub use answers::{
    branch_summary, event, history_page, repo_summary, snapshot, snapshot_head, tree_entry,
    write_outcome,
};
pub use requests::{
    get_history, list_branches, list_repos, read_snapshot, read_tree, subscribe, write_diff,
};

use bytes::Bytes;
use vdom_core::{NodeKind, OperationId, VectorClock};
use vdom_proto::v1 as wire;

fn clock(clock: &VectorClock) -> wire::VectorClock {
    wire::VectorClock { entries: clock.entries().clone() }
}

fn kind(kind: NodeKind) -> i32 {
    match kind {
        NodeKind::File => wire::NodeKind::File,
        NodeKind::Intent => wire::NodeKind::Intent,
        NodeKind::Meta => wire::NodeKind::Meta,
    }
    .into()
}

fn operation_id(id: Option<OperationId>) -> Bytes {
    id.map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default()
}

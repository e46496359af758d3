//! Where the log of a branch ends, and what of it is kept.

use std::sync::Arc;

use vdom_core::Hash;
use vdom_store::{Position, Watermark};

use crate::branch::usage::Usage;
use crate::records::Checkpoint;

/// The end of a log of one incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub epoch: u64,
    /// Of the last change; 0 before the first.
    pub revision: u64,
    /// Of the last change.
    pub hash: Hash,
    /// Of the last batch; 0 where the log does not exist yet.
    pub number: u64,
    /// Of the last batch, for the next one to name.
    pub digest: [u8; 32],
    /// The log ends here: the branch was deleted.
    pub closed: bool,
}

/// What of a branch's history is kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Compaction {
    /// The oldest revision that may still be asked for; 0: all.
    pub limit: u64,
    /// What stands in for what is older.
    pub checkpoint: Option<Arc<Checkpoint>>,
}

/// What the views of a log know when it is opened.
#[derive(Debug, Default)]
pub(crate) struct KnownViews {
    /// How far they are complete.
    pub watermark: Watermark,
    /// What of the history is kept.
    pub compaction: Compaction,
    /// How much the nodes take, and as of when.
    pub usage: (Usage, Position),
}

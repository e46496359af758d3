//! Conflicts that were kept until someone resolves them.

use bytes::Bytes;

use super::{Conflict, WriteDiff, Written};
use crate::clock::VectorClock;
use crate::identifiers::{ConflictId, OperationId};
use crate::names::BranchAddress;

/// A refused write that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredConflict {
    /// Its name.
    pub id: ConflictId,
    /// What stood there when it was refused.
    pub conflict: Conflict,
    /// What was refused.
    pub request: WriteDiff,
    /// When it was refused, ms since the Unix epoch.
    pub timestamp_ms: i64,
    /// Who was refused.
    pub subject: String,
}

/// Which conflicts to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListConflicts {
    /// Where.
    pub address: BranchAddress,
    /// Whole segments; empty: all.
    pub paths: Vec<String>,
    /// At most so many.
    pub limit: u32,
    /// Only those after this one in the order of listing.
    pub after: Option<ConflictId>,
}

/// Kept conflicts in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictPage {
    /// The conflicts.
    pub conflicts: Vec<StoredConflict>,
    /// True when there are more.
    pub more: bool,
}

/// How a conflict ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// What stands there stays.
    Ours,
    /// What was refused is applied to what stands there.
    Theirs,
    /// Both, where they merge cleanly.
    Merge,
    /// This content: bytes of a FILE, BSON of a document.
    Manual(Bytes),
}

/// A conflict to resolve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveConflict {
    /// Where.
    pub address: BranchAddress,
    /// Which.
    pub id: ConflictId,
    /// How.
    pub resolution: Resolution,
    /// What the resolver had seen of the node; empty: as it stands.
    pub clock: VectorClock,
    /// Why.
    pub message: String,
    /// Makes the call safe to repeat.
    pub operation_id: Option<OperationId>,
}

/// What became of a resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolveOutcome {
    /// It is resolved; `None` where nothing had to be written.
    Resolved(Option<Written>),
    /// The node changed since, or does not merge: the conflict stays.
    Conflicted(Box<Conflict>),
}

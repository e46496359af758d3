//! The kinds of rows that the document room keeps in the views of a branch.

use vdom_store::{ViewFlags, ViewKind, ViewKindRange};

/// The numbers that the document room may give to its kinds.
const NUMBERS: ViewKindRange = ViewKindRange::new(1, 15);

const NODE: ViewKind = ViewKind::new(1, ViewFlags::PATH_INDEXED);
const HISTORY: ViewKind = ViewKind::new(2, ViewFlags::WRITTEN_ONCE);
const ACTOR: ViewKind = ViewKind::new(3, ViewFlags::NONE);
const PATH_HISTORY: ViewKind = ViewKind::new(4, ViewFlags::WRITTEN_ONCE);
const CONFLICT: ViewKind = ViewKind::new(5, ViewFlags::NONE);
const PIN: ViewKind = ViewKind::new(6, ViewFlags::NONE);
const OPERATION: ViewKind = ViewKind::new(7, ViewFlags::NONE);
const COMPACTION: ViewKind = ViewKind::new(8, ViewFlags::NONE);
const USAGE: ViewKind = ViewKind::new(9, ViewFlags::NONE);

const _: () = assert!(NUMBERS.holds(&[
    NODE,
    HISTORY,
    ACTOR,
    PATH_HISTORY,
    CONFLICT,
    PIN,
    OPERATION,
    COMPACTION,
    USAGE
]));

/// A kind of row, so that whoever goes through all of them leaves none out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DocumentView {
    /// The latest state of a node, or its tombstone. `id` = node id.
    Node,
    /// One change of a node. `id` = node id and revision (big-endian).
    History,
    /// Which subject an actor belongs to. `id` = the actor.
    Actor,
    /// Who came to or left a path, and when. `id` = hash of the path and revision (big-endian).
    PathHistory,
    /// A refused write that was kept, or that it is resolved. `id` = conflict id.
    Conflict,
    /// A branch that continues this one. `id` = its log and the revision (big-endian).
    Pin,
    /// What was answered under an operation id whose change is compacted. `id` = the
    /// operation's key.
    Operation,
    /// What is compacted, and what it was replaced by. `id` = which of the two.
    Compaction,
    /// How much the nodes of the log take. One row.
    Usage,
}

impl DocumentView {
    /// Every kind, by number.
    pub(crate) const ALL: [Self; 9] = [
        Self::Node,
        Self::History,
        Self::Actor,
        Self::PathHistory,
        Self::Conflict,
        Self::Pin,
        Self::Operation,
        Self::Compaction,
        Self::Usage,
    ];

    /// The kind as the store knows it.
    pub(crate) const fn kind(self) -> ViewKind {
        match self {
            Self::Node => NODE,
            Self::History => HISTORY,
            Self::Actor => ACTOR,
            Self::PathHistory => PATH_HISTORY,
            Self::Conflict => CONFLICT,
            Self::Pin => PIN,
            Self::Operation => OPERATION,
            Self::Compaction => COMPACTION,
            Self::Usage => USAGE,
        }
    }
}

//! What the document room is asked and what it answers, whatever the transport.
//!
//! Times are ms since the Unix epoch. A revision counts the changes of a branch from 1; an
//! epoch is one incarnation of the branch's log, to which its revisions belong.

mod branches;
mod change_sets;
mod changes;
mod checks;
mod conflicts;
mod page_token;
mod reads;
mod writes;

pub use branches::{
    BranchPage, BranchSummary, CreateBranch, DeleteBranch, ListBranches, ListRepos, RepoPage,
    RepoSummary,
};
pub use change_sets::{
    ChangeSetPart, RevertChanges, SetConflicts, SetOutcome, SetWritten, WriteDiffs,
};
pub use changes::{ChangeEvent, Event, GetHistory, HistoryPage, ResumePoint, Subscribe};
pub use checks::{
    checked_actor, checked_conflict_limit, checked_history_limit, checked_list_page_size,
    checked_message, checked_metadata, checked_prefixes, checked_revisions,
};
pub use conflicts::{
    Conflict, ConflictExplanation, ConflictHunk, ConflictPage, ConflictReason, ExplainConflict,
    ListConflicts, MergePreview, Resolution, ResolveConflict, ResolveOutcome, StoredConflict,
};
pub use reads::{
    Freshness, NodeSelector, ReadAt, ReadSnapshot, ReadSnapshots, ReadTree, Snapshot, Source,
    TreeEntry,
};
pub use writes::{
    AckLevel, DiffSource, OnConflict, WriteContent, WriteDiff, WriteOutcome, Written,
};

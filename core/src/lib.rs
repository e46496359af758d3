//! The pure domain of vdom: what all rooms share, then a folder for each room.
//!
//! | module | what it holds |
//! |---|---|
//! | [`access`] | the one rule of rights |
//! | [`clock`] | vector clocks and actors |
//! | [`document`] | BSON, read and built as raw bytes |
//! | [`error`] | the closed list of error codes |
//! | [`identifiers`] [`names`] | ids, hashes, and the names that people give |
//! | [`limits`] | every limit, with its unit |
//! | [`time`] | which moments there are, and their text |
//! | [`dom`] | the document room: calls, changes and their hash chain, events, diffs, merges, nodes |
//!
//! No async runtime, no I/O, no clock or randomness of its own: whoever calls
//! hands them in. Nothing here knows the wire or the store.

pub mod access;
pub mod clock;
pub mod document;
pub mod dom;
pub mod error;
pub mod identifiers;
pub mod limits;
pub mod names;
pub mod time;

pub use clock::{ClockOrdering, VectorClock};
pub use dom::change::{
    Change, ChangeKind, ChangeSetHeader, ChangeSetPosition, Encryption, Operation,
};
pub use dom::diff::Diff;
pub use dom::node::{ChunkPart, Content, ContentChunk, Node, NodeKind};
pub use error::{Error, ErrorCode, Result};
pub use identifiers::{ConflictId, Hash, NodeId, OperationId};
pub use names::{BranchAddress, BranchName, NodePath, RealmName, RepoName};

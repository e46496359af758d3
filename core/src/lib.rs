//! The pure domain of vdom: names, clocks, diffs, changes and their hash chain.
//!
//! No async runtime, no I/O, no clock or randomness of its own: whoever calls
//! hands them in. Nothing here knows the wire or the store.

pub mod calls;
pub mod change;
pub mod clock;
pub mod diff;
pub mod document;
pub mod error;
pub mod identifiers;
pub mod limits;
pub mod merge;
pub mod names;
pub mod node;

pub use change::{Change, ChangeKind, ChangeSetHeader, ChangeSetPosition, Encryption, Operation};
pub use clock::{ClockOrdering, VectorClock};
pub use diff::Diff;

pub use error::{Error, ErrorCode, Result};
pub use identifiers::{ConflictId, Hash, NodeId, OperationId};
pub use names::{BranchAddress, BranchName, NodePath, RealmName, RepoName};
pub use node::{ChunkPart, Content, ContentChunk, Node, NodeKind};

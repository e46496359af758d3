//! Views: rows derived from a log, which only ever move forward.

use bytes::Bytes;

/// A place in a branch's history; later epochs are later whatever the revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The incarnation of the log.
    pub epoch: u64,
    /// The place in it.
    pub revision: u64,
}

/// The families of views. The number is part of the stored format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ViewKind {
    /// The latest state of a node, or its tombstone. `id` = node id.
    Node = 1,
    /// One change of a node. `id` = node id and revision (big-endian).
    History = 2,
    /// Which subject an actor belongs to. `id` = the actor.
    Actor = 3,
}

/// A row as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Unique within log and kind; at most 256 bytes.
    pub id: Bytes,
    /// The indexed field.
    pub path: Option<String>,
    /// False for a tombstone.
    pub live: bool,
    /// Of the change that the row was derived from.
    pub position: Position,
    /// Opaque.
    pub value: Bytes,
}

/// A row to write: applied only when its position is after the stored one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewWrite {
    /// The family.
    pub kind: ViewKind,
    /// The row.
    pub view: View,
}

/// Which rows a scan by path takes, in ascending order of (path, id).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRange {
    /// Whole segments: `lib` is the path `lib` and all below `lib/`. Empty: all.
    pub prefix: String,
    /// Only rows after this (path, id).
    pub after: Option<(String, Bytes)>,
    /// Also tombstones.
    pub include_tombstones: bool,
    /// At most so many rows.
    pub limit: usize,
}

/// "The views of a log are complete up to here."
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watermark {
    /// Of the last change whose views are written.
    pub position: Position,
    /// Of the batch that holds it; 0 before the first.
    pub number: u64,
}

//! Views: rows derived from a log, which only ever move forward.

use bytes::Bytes;

use crate::contract::{StoreError, StoreErrorKind, StoreResult};

/// The longest id of a row.
pub const VIEW_ID_MAX_BYTES: usize = 256;

/// The largest value of a row; what is larger belongs into chunks.
pub const VIEW_VALUE_MAX_BYTES: usize = 4 << 20;

/// The longest indexed path.
pub const VIEW_PATH_MAX_BYTES: usize = 4096;

/// A place in a branch's history; later epochs are later whatever the revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The incarnation of the log.
    pub epoch: u64,
    /// The place in it.
    pub revision: u64,
}

impl Position {
    /// Databases count in signed 64-bit integers.
    fn is_storable(self) -> bool {
        i64::try_from(self.epoch).is_ok() && i64::try_from(self.revision).is_ok()
    }
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
    /// Who came to or left a path. `id` = hash of the path and revision
    /// (big-endian).
    Place = 4,
    /// A refused write that was kept, or that it is resolved. `id` = conflict id.
    Conflict = 5,
    /// A branch that continues this one. `id` = its log.
    Pin = 6,
    /// What was answered under an operation id whose change is compacted. `id` = the
    /// operation's key.
    Operation = 7,
    /// What is compacted, and what it was replaced by. `id` = which of the two.
    Compaction = 8,
    /// How much the nodes of the log take. One row.
    Usage = 9,
}

impl ViewKind {
    /// Whether a row never changes once it is written: its id holds its revision.
    pub fn is_written_once(self) -> bool {
        matches!(self, Self::History | Self::Place)
    }

    /// Every family.
    pub const ALL: [Self; 9] = [
        Self::Node,
        Self::History,
        Self::Actor,
        Self::Place,
        Self::Conflict,
        Self::Pin,
        Self::Operation,
        Self::Compaction,
        Self::Usage,
    ];
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

impl ViewWrite {
    /// Refuses a row that no backend could keep.
    pub(crate) fn check(&self) -> StoreResult<()> {
        let View { id, path, value, position, .. } = &self.view;
        let path = path.as_deref().unwrap_or_default();
        let why = if id.len() > VIEW_ID_MAX_BYTES {
            format!("its id has {} bytes, the limit is {VIEW_ID_MAX_BYTES}", id.len())
        } else if path.len() > VIEW_PATH_MAX_BYTES {
            format!("its path has {} bytes, the limit is {VIEW_PATH_MAX_BYTES}", path.len())
        } else if path.contains('\0') {
            "its path holds a zero byte".to_owned()
        } else if value.len() > VIEW_VALUE_MAX_BYTES {
            format!("its value has {} bytes, the limit is {VIEW_VALUE_MAX_BYTES}", value.len())
        } else if !position.is_storable() {
            format!("its position {position:?} is out of range")
        } else {
            return Ok(());
        };
        Err(StoreError::new(
            StoreErrorKind::Invalid,
            format_args!("a row of kind {:?} cannot be stored: {why}", self.kind),
        ))
    }
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

impl PathRange {
    /// Whether the prefix takes this path in, by whole segments.
    pub fn covers(&self, path: &str) -> bool {
        self.prefix.is_empty()
            || path
                .strip_prefix(&self.prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// "The views of a log are complete up to here."
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watermark {
    /// Of the last change whose views are written.
    pub position: Position,
    /// Of the batch that holds it; 0 before the first.
    pub number: u64,
}

//! Views: rows derived from a log, which only ever move forward.

use bytes::Bytes;

use crate::error::{StoreError, StoreErrorKind, StoreResult};

/// The longest id of a row.
pub const VIEW_ID_MAX_BYTES: usize = 256;

/// The largest value of a row; what is larger belongs into chunks.
pub const VIEW_VALUE_MAX_BYTES: usize = 4 << 20;

/// The longest path of a row, indexed or not.
pub const VIEW_PATH_MAX_BYTES: usize = 4096;

/// A place in a branch's history; later epochs are later whatever the revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Grows with each incarnation of the log.
    pub epoch: u64,
    /// The place in the log, counted by its writer.
    pub revision: u64,
}

impl Position {
    /// Databases count in signed 64-bit integers.
    fn is_storable(self) -> bool {
        i64::try_from(self.epoch).is_ok() && i64::try_from(self.revision).is_ok()
    }
}

/// A family of rows, as a room registers it.
///
/// The number is part of the stored form, so a kind keeps its number and its flags for
/// good. Rooms have ranges of numbers ([`ViewKindRange`]); the store gives no meaning to
/// either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ViewKind {
    /// 1 to 127, unlike that of any other kind.
    pub number: u8,
    /// What a backend may rely on.
    pub flags: ViewFlags,
}

/// What all rows of a kind have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ViewFlags {
    /// A row never changes once it is written, because its id holds its revision: a
    /// backend may write it without looking at what stands there.
    pub written_once: bool,
    /// Rows can be found and scanned by their paths.
    pub path_indexed: bool,
}

impl ViewFlags {
    /// Rows that change and are found by their ids alone.
    pub const NONE: Self = Self { written_once: false, path_indexed: false };
    /// Rows whose ids hold their revisions.
    pub const WRITTEN_ONCE: Self = Self { written_once: true, path_indexed: false };
    /// Rows that change and are also found by their paths.
    pub const PATH_INDEXED: Self = Self { written_once: false, path_indexed: true };
}

impl ViewKind {
    /// The greatest number that a kind can have.
    pub const NUMBER_MAX: u8 = 127;

    /// A kind with a number and flags.
    pub const fn new(number: u8, flags: ViewFlags) -> Self {
        Self { number, flags }
    }

    /// Refuses to look for paths where none are indexed.
    pub(crate) fn check_path_index(self) -> StoreResult<()> {
        if self.flags.path_indexed {
            return Ok(());
        }
        Err(StoreError::new(
            StoreErrorKind::Invalid,
            format_args!("rows of kind {} are not indexed by path", self.number),
        ))
    }
}

/// The numbers that one room may give to its kinds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewKindRange {
    first: u8,
    last: u8,
}

impl ViewKindRange {
    /// The numbers from `first` to `last`.
    ///
    /// # Panics
    /// Where no kind could have such a number; in a constant, at compile time.
    pub const fn new(first: u8, last: u8) -> Self {
        assert!(0 < first && first <= last && last <= ViewKind::NUMBER_MAX);
        Self { first, last }
    }

    /// Whether all kinds have numbers of this range, each its own. For an assertion
    /// beside the kinds of a room:
    ///
    /// ```
    /// use vdom_store::{ViewFlags, ViewKind, ViewKindRange};
    ///
    /// const SESSIONS: ViewKindRange = ViewKindRange::new(64, 71);
    /// const SESSION: ViewKind = ViewKind::new(64, ViewFlags::NONE);
    /// const RENEWAL: ViewKind = ViewKind::new(65, ViewFlags::WRITTEN_ONCE);
    /// const _: () = assert!(SESSIONS.holds(&[SESSION, RENEWAL]));
    /// ```
    pub const fn holds(self, kinds: &[ViewKind]) -> bool {
        let mut at = 0;
        while at < kinds.len() {
            let number = kinds[at].number;
            if number < self.first || self.last < number {
                return false;
            }
            let mut other = 0;
            while other < at {
                if kinds[other].number == number {
                    return false;
                }
                other += 1;
            }
            at += 1;
        }
        true
    }
}

/// A row as it is read. It is a tombstone where it is not live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Unique within log and kind; at most 256 bytes.
    pub id: Bytes,
    /// What the row is found by where its kind is indexed by path.
    pub path: Option<String>,
    /// Whether what the row is about still exists.
    pub live: bool,
    /// Of the change that the row was derived from.
    pub position: Position,
    /// The caller's bytes, at most 4 MiB.
    pub value: Bytes,
}

/// A row to write: applied only when its position is after the stored one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ViewWrite {
    pub kind: ViewKind,
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
        } else if !(1..=ViewKind::NUMBER_MAX).contains(&self.kind.number) {
            "no kind has that number".to_owned()
        } else if !position.is_storable() {
            format!("its position {position:?} is out of range")
        } else {
            return Ok(());
        };
        Err(StoreError::new(
            StoreErrorKind::Invalid,
            format_args!("a row of kind {} cannot be stored: {why}", self.kind.number),
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
    /// Whether rows that are not live are listed, too.
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

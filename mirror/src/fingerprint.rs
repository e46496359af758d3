//! What a file is, apart from its path, and how it is told apart without reading it.

use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde::{Deserialize, Serialize};

/// Type, content and size of a file: two files with the same are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    #[serde(rename = "form")]
    pub(crate) file_type: FileType,
    /// Of the content, or of the target of a link.
    #[serde(with = "hex::serde")]
    pub(crate) sha256: [u8; 32],
    pub(crate) size_bytes: u64,
}

/// The types of files that a branch can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FileType {
    Plain,
    Executable,
    Link,
}

/// What the file system says of a file: as long as this is the same, so is the
/// content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileStat {
    #[serde(rename = "form")]
    pub(crate) file_type: FileType,
    pub(crate) size_bytes: u64,
    inode: u64,
    modified_ns: i64,
    /// When content, mode or name changed last.
    pub(crate) changed_ns: i64,
}

impl FileStat {
    /// Two changes within this may leave the same times, in nanoseconds.
    pub(crate) const TICK_NS: i64 = 20_000_000;

    /// `None` for what is neither a file nor a symbolic link.
    pub(crate) fn of(metadata: &Metadata) -> Option<Self> {
        let file_type = if metadata.is_symlink() {
            FileType::Link
        } else if !metadata.is_file() {
            return None;
        } else if metadata.permissions().mode() & 0o100 != 0 {
            // As git sees it: the owner's bit.
            FileType::Executable
        } else {
            FileType::Plain
        };
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000) + rest;
        Some(Self {
            file_type,
            size_bytes: metadata.len(),
            inode: metadata.ino(),
            modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Whether it is still the same file with the same content. A new name alone moves
    /// the time of the last change, and nothing else.
    pub(crate) fn is_same_under_another_name(&self, other: &Self) -> bool {
        Self { changed_ns: other.changed_ns, ..*self } == *other
    }
}

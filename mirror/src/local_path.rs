//! Paths on the disk and paths of nodes. The disk's are any bytes; what a node
//! cannot be named is escaped, as for git.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use vdom_git::file_attributes::{Attributes, git_path};
use vdom_git::node_path::{EncodedPath, RESERVED_FOLDER, encode_path};

use crate::confined_dir::is_safe_path;
use crate::error::{Error, ErrorKind, Result};

/// What ends the name of the branch's version of a file, laid beside it.
const THEIRS: &str = ".vdom-theirs";

/// Whether a file below a mirrored directory is the mirror's own: its state, or a version
/// of the branch that waits for a person.
pub fn belongs_to_mirror(path: &[u8]) -> bool {
    path.ends_with(THEIRS.as_bytes())
        || path.split(|byte| *byte == b'/').any(|segment| segment == RESERVED_FOLDER.as_bytes())
}

/// The path of a file below the mirrored directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "StoredPath", into = "StoredPath")]
pub(crate) struct LocalPath(Vec<u8>);

/// A path in the state file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredPath {
    Text(String),
    Bytes(Vec<u8>),
}

impl LocalPath {
    /// A relative path; `None` for one that no mirror touches: git's and the
    /// mirror's own files.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        (is_safe_path(bytes) && !belongs_to_mirror(bytes)).then(|| Self(bytes.to_vec()))
    }

    /// The file whose version of the branch lies at this path.
    pub(crate) fn of_theirs(bytes: &[u8]) -> Option<Self> {
        Self::new(bytes.strip_suffix(THEIRS.as_bytes())?)
    }

    /// Where the branch's version of this file is laid.
    pub(crate) fn theirs(&self) -> Vec<u8> {
        [&self.0, THEIRS.as_bytes()].concat()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn file_name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == b'/').next().unwrap_or(&self.0)
    }

    /// The folders that it lies in, the innermost first; the mirrored directory
    /// itself is not among them.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.0.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/');
        ends.map(|(end, _)| &self.0[..end])
    }

    /// True where it is this path or lies below it.
    pub(crate) fn is_within(&self, folder: &[u8]) -> bool {
        is_within(&self.0, folder)
    }

    /// As the observer is told it.
    pub(crate) fn shown(&self) -> String {
        shown(&self.0)
    }
}

/// True where a path is this one or lies below it.
pub(crate) fn is_within(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
}

/// A path of bytes for people, bytes that are no text replaced.
pub(crate) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// The path on the disk of what `path` names below `root`.
pub(crate) fn below(root: &Path, path: &[u8]) -> std::path::PathBuf {
    if path.is_empty() { root.to_owned() } else { root.join(OsStr::from_bytes(path)) }
}

impl From<StoredPath> for LocalPath {
    fn from(written: StoredPath) -> Self {
        match written {
            StoredPath::Text(text) => Self(text.into_bytes()),
            StoredPath::Bytes(bytes) => Self(bytes),
        }
    }
}

impl From<LocalPath> for StoredPath {
    fn from(path: LocalPath) -> Self {
        match String::from_utf8(path.0) {
            Ok(text) => Self::Text(text),
            Err(error) => Self::Bytes(error.into_bytes()),
        }
    }
}

/// What part of a branch is mirrored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathMapping {
    /// The path of a node, or empty for all of the branch.
    prefix: String,
}

impl PathMapping {
    /// What lies below this path; empty: the whole branch.
    pub(crate) fn new(prefix: &str) -> Result<Self> {
        if !prefix.is_empty() {
            let kept = encode_path(prefix.as_bytes());
            if kept.is_none_or(|kept| kept.original.is_some()) {
                let message = format!("what lies below {prefix} cannot be mirrored");
                return Err(Error::new(ErrorKind::Usage, message)
                    .advice("that name is kept escaped; name a folder above it"));
            }
        }
        Ok(Self { prefix: prefix.to_owned() })
    }

    /// As the protocol wants it.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where a file of the disk is kept.
    pub(crate) fn to_node(&self, path: &LocalPath) -> Result<EncodedPath> {
        let whole = if self.prefix.is_empty() {
            path.as_bytes().to_vec()
        } else {
            [self.prefix.as_bytes(), b"/", path.as_bytes()].concat()
        };
        encode_path(&whole).ok_or_else(|| Error::failed("its path is longer than what can be kept"))
    }

    /// Where a node is on the disk. `Err` where no file can be there, `None` where
    /// the node is none of this mirror.
    pub(crate) fn to_local(
        &self,
        path: &str,
        attributes: &Attributes,
    ) -> Option<Result<LocalPath>> {
        let original = git_path(path, attributes);
        let local = if self.prefix.is_empty() {
            original.as_slice()
        } else {
            original.strip_prefix(self.prefix.as_bytes())?.strip_prefix(b"/")?
        };
        Some(LocalPath::new(local).ok_or_else(|| {
            Error::failed(format!(
                "{} is a name that no mirror writes to the directory",
                shown(local)
            ))
        }))
    }
}

#[cfg(test)]
mod tests {
    use vdom_git::node_path::ORIGINAL_PATH;

    use super::*;

    fn local(bytes: &[u8]) -> LocalPath {
        LocalPath::new(bytes).expect("a path")
    }

    #[test]
    fn what_belongs_to_git_or_the_mirror_is_no_path() {
        for path in
            [".git/config", "a/.GIT/x", ".vdom/mirror/lock", "a/.vdom/x", "a.vdom-theirs", "a/../b"]
        {
            assert_eq!(LocalPath::new(path.as_bytes()), None, "{path}");
        }
        assert_eq!(LocalPath::of_theirs(b"a/b.vdom-theirs"), Some(local(b"a/b")));
        assert_eq!(local(b"a/b").theirs(), b"a/b.vdom-theirs");
    }

    #[test]
    fn names_that_no_node_can_have_come_back() {
        let names = PathMapping::new("site/pages").expect("a prefix");
        for path in [b"caf\xe9/x".as_slice(), b"e\xcc\x81", b"100%25", b"plain"] {
            let kept = names.to_node(&local(path)).expect("kept");
            assert!(kept.path.as_str().starts_with("site/pages/"));
            let attributes =
                kept.original.map(|value| (ORIGINAL_PATH.to_owned(), value)).into_iter().collect();
            let back = names.to_local(kept.path.as_str(), &attributes);
            assert_eq!(back.expect("ours").expect("a path"), local(path));
        }
        assert!(names.to_local("site/other", &Attributes::new()).is_none());
        assert!(names.to_local("site/pagesx", &Attributes::new()).is_none());
        assert!(names.to_local("site/pages/.git/x", &Attributes::new()).expect("ours").is_err());
    }

    #[test]
    fn an_attribute_counts_only_at_the_path_that_it_is_about() {
        let names = PathMapping::new("").expect("all");
        let kept = names.to_node(&local(b"caf\xe9")).expect("kept");
        let attributes: Attributes =
            [(ORIGINAL_PATH.to_owned(), kept.original.expect("escaped"))].into();
        let moved = names.to_local("coffee", &attributes).expect("ours").expect("a path");
        assert_eq!(moved, local(b"coffee"));
    }

    #[test]
    fn paths_are_written_and_read_back() {
        for path in [b"a/b".as_slice(), b"caf\xe9"] {
            let json = serde_json::to_string(&local(path)).expect("JSON");
            assert_eq!(serde_json::from_str::<LocalPath>(&json).expect("a path"), local(path));
        }
    }

    #[test]
    fn folders_go_from_the_innermost_out() {
        assert_eq!(local(b"a/b/c").folders().collect::<Vec<_>>(), [b"a/b".as_slice(), b"a"]);
        assert!(local(b"a/b").is_within(b"a") && local(b"a/b").is_within(b"a/b"));
        assert!(!local(b"ab").is_within(b"a"));
    }
}

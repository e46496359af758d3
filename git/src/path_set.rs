//! Which files can stand beside one another.

use std::collections::HashSet;

/// Paths of files, and the folders that they need.
///
/// ```
/// use vdom_git::path_set::PathSet;
///
/// let files = PathSet::of([b"a/b".as_slice()].into_iter());
/// assert!(files.collides_with(b"a") && files.collides_with(b"a/b/c"));
/// assert!(!files.collides_with(b"a/c"));
/// ```
#[derive(Debug)]
pub struct PathSet<'a> {
    files: HashSet<&'a [u8]>,
    folders: HashSet<&'a [u8]>,
}

impl<'a> PathSet<'a> {
    /// The set of these paths.
    pub fn of(paths: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        Self { files: paths.clone().collect(), folders: paths.flat_map(folders_of).collect() }
    }

    /// True where a file at this path cannot be beside them.
    pub fn collides_with(&self, path: &[u8]) -> bool {
        self.files.contains(path)
            || self.folders.contains(path)
            || folders_of(path).any(|folder| self.files.contains(folder))
    }
}

fn folders_of(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at])
}

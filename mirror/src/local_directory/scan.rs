//! Everything that a directory holds, apart from what its rules leave out.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;

use ignore::WalkBuilder;
use vdom_git::node_path::RESERVED_FOLDER;

use super::{LocalDirectory, LocalEntry, UnusableEntry};
use crate::error::{Error, Result};
use crate::fingerprint::FileStat;
use crate::local_path::LocalPath;

/// The files and folders of a directory at one time.
#[derive(Debug, Default)]
pub(crate) struct DirectoryScan {
    pub(crate) files: BTreeMap<LocalPath, FileStat>,
    /// What cannot be mirrored, and why.
    pub(crate) unusable: BTreeMap<LocalPath, UnusableEntry>,
    /// Where files may come, by their paths; the directory itself is the empty one.
    pub(crate) folders: BTreeSet<Vec<u8>>,
}

impl LocalDirectory {
    /// Looks at every file that the rules do not leave out, and at those that are
    /// `known` anyway: as with git, rules are for files that nobody added.
    pub(crate) fn scan<'a>(
        &self,
        known: impl Iterator<Item = &'a LocalPath>,
    ) -> Result<DirectoryScan> {
        self.check()?;
        let mut scan = DirectoryScan::default();
        let mut walk = WalkBuilder::new(self.root());
        walk.standard_filters(false)
            .parents(false)
            .ignore(true)
            .git_ignore(true)
            .git_exclude(true)
            .require_git(false)
            .current_dir(self.root())
            .filter_entry(|entry| {
                entry.depth() == 0
                    || entry.file_name() != ".git" && entry.file_name() != RESERVED_FOLDER
            });
        if let Some(error) = walk.add_ignore(self.state_dir().rules()) {
            return Err(Error::failed(format!(
                "cannot use the rules {}: {error}",
                self.state_dir().rules().display()
            )));
        }
        for entry in walk.build() {
            // What cannot be listed is looked at below, where it is known.
            let Ok(entry) = entry else { continue };
            let relative = entry.path().strip_prefix(self.root()).unwrap_or(entry.path());
            let path = relative.as_os_str().as_bytes();
            if entry.file_type().is_some_and(|file_type| file_type.is_dir()) {
                scan.folders.insert(path.to_vec());
            } else if let Some(path) = LocalPath::new(path)
                && let Ok(metadata) = entry.metadata()
            {
                scan.add(path, LocalEntry::of(Some(&metadata)));
            }
        }
        self.check()?;
        for path in known {
            if !scan.files.contains_key(path) && !scan.unusable.contains_key(path) {
                let found = self.stat(path.as_bytes());
                scan.add(path.clone(), found);
            }
            scan.folders.extend(path.folders().map(<[u8]>::to_vec));
        }
        Ok(scan)
    }
}

impl DirectoryScan {
    fn add(&mut self, path: LocalPath, found: LocalEntry) {
        match found {
            LocalEntry::Nothing => {}
            LocalEntry::File(stat) => {
                self.files.insert(path, stat);
            }
            LocalEntry::Unusable(why) => {
                self.unusable.insert(path, why);
            }
        }
    }
}

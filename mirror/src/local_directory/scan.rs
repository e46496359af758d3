//! Everything that a directory holds, apart from what its rules leave out.

use std::collections::{BTreeMap, BTreeSet};

use vdom_git::node_path::RESERVED_FOLDER;

use super::{LocalDirectory, LocalEntry, UnusableEntry};
use crate::directory_walk::{WalkRules, WalkedEntry, walk};
use crate::error::{Error, Result};
use crate::fingerprint::FileStat;
use crate::local_path::{LocalPath, belongs_to_mirror};

/// The files and folders of a directory at one time.
#[derive(Debug, Default)]
pub(crate) struct DirectoryScan {
    pub(crate) files: BTreeMap<LocalPath, FileStat>,
    /// What cannot be mirrored, and why.
    pub(crate) unusable: BTreeMap<Vec<u8>, UnusableEntry>,
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
        // As git, beside the rules of every folder.
        let everywhere = [self.state_dir().rules(), self.root().join(".git/info/exclude")];
        let rules = WalkRules {
            everywhere: &everywhere,
            in_folders: &[".gitignore", ".ignore"],
            never: &[".git", RESERVED_FOLDER],
        };
        walk(self.root(), &rules, |path, entry| match entry {
            WalkedEntry::Folder => {
                scan.folders.insert(path.to_vec());
            }
            WalkedEntry::File(metadata) => {
                if let Some(path) = LocalPath::new(path) {
                    scan.add(path, LocalEntry::of(Some(&metadata)));
                } else if !belongs_to_mirror(path) {
                    scan.unusable.insert(path.to_vec(), UnusableEntry::ForGit);
                }
            }
            // What is known in it is looked at below.
            WalkedEntry::Unreadable(error) => {
                let problem = format!("cannot be read: {error}");
                scan.unusable.insert(path.to_vec(), UnusableEntry::Unreadable(problem));
            }
        })?;
        self.check()?;
        if let Some(UnusableEntry::Unreadable(problem)) = scan.unusable.get(&b""[..]) {
            return Err(Error::failed(format!("{} {problem}", self.root().display())));
        }
        for path in known {
            if !scan.files.contains_key(path) && !scan.unusable.contains_key(path.as_bytes()) {
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
                self.unusable.insert(path.as_bytes().to_vec(), why);
            }
        }
    }
}

//! Everything that a directory holds, apart from what its rules leave out.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;

use ignore::WalkBuilder;
use vdom::git::path::RESERVED_FOLDER;

use super::{Disk, Found, Look};
use crate::commands::mirror::path::LocalPath;
use crate::exit::Failure;

/// What was found.
#[derive(Debug, Default)]
pub(in crate::commands::mirror) struct Survey {
    pub(in crate::commands::mirror) files: BTreeMap<LocalPath, Look>,
    /// What cannot be mirrored, and why.
    pub(in crate::commands::mirror) unusable: BTreeMap<LocalPath, String>,
    /// Where files may come, by their paths; the directory itself is the empty one.
    pub(in crate::commands::mirror) folders: BTreeSet<Vec<u8>>,
}

impl Disk {
    /// Looks at every file that the rules do not leave out, and at those that are
    /// `known` anyway: as with git, rules are for files that nobody added.
    pub(in crate::commands::mirror) fn survey<'a>(
        &self,
        known: impl Iterator<Item = &'a LocalPath>,
    ) -> Result<Survey, Failure> {
        self.check()?;
        let mut survey = Survey::default();
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
        if let Some(error) = walk.add_ignore(self.home().rules()) {
            return Err(Failure::failed(format!(
                "cannot use the rules {}: {error}",
                self.home().rules().display()
            )));
        }
        for entry in walk.build() {
            // What cannot be listed is looked at below, where it is known.
            let Ok(entry) = entry else { continue };
            let relative = entry.path().strip_prefix(self.root()).unwrap_or(entry.path());
            let path = relative.as_os_str().as_bytes();
            if entry.file_type().is_some_and(|file_type| file_type.is_dir()) {
                survey.folders.insert(path.to_vec());
            } else if let Some(path) = LocalPath::new(path)
                && let Ok(metadata) = entry.metadata()
            {
                survey.add(path, Found::of(Some(&metadata)));
            }
        }
        self.check()?;
        for path in known {
            if !survey.files.contains_key(path) && !survey.unusable.contains_key(path) {
                let found = self.look(path.as_bytes());
                survey.add(path.clone(), found);
            }
            survey.folders.extend(path.folders().map(<[u8]>::to_vec));
        }
        Ok(survey)
    }
}

impl Survey {
    fn add(&mut self, path: LocalPath, found: Found) {
        match found {
            Found::Nothing => {}
            Found::File(look) => {
                self.files.insert(path, look);
            }
            Found::Unusable(why) => {
                self.unusable.insert(path, why);
            }
        }
    }
}

//! Walks a directory and leaves out what its rules name. Rules are bytes, read as git
//! reads them.

use std::ffi::OsString;
use std::fs::{FileType, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use gix_ignore::Search;
use gix_ignore::glob::pattern::Case;
use gix_ignore::glob::search::pattern::List;
use gix_ignore::search::Ignore;

use crate::error::{Error, Result};
use crate::local_path::below;

/// What a walk leaves out.
#[derive(Clone, Copy, Debug, Default)]
pub struct WalkRules<'a> {
    /// Files of rules for the whole directory, the weaker ones first.
    pub everywhere: &'a [PathBuf],
    /// Names of files with rules for their folder and all below, the weaker ones first.
    pub in_folders: &'a [&'a str],
    /// Names that are left out wherever they are.
    pub never: &'a [&'a str],
}

/// What stands at a path.
#[derive(Debug)]
pub enum WalkedEntry {
    /// A folder; what is in it follows.
    Folder,
    /// Anything else, links themselves included.
    File(Metadata),
    /// Something that cannot be looked at; a folder's files are then unknown.
    Unreadable(io::Error),
}

/// Visits all that stands below `root`, folders before what is in them and by their
/// names; the root itself has the empty path.
///
/// # Errors
///
/// Where rules cannot be read: without them, files would be taken that they leave out.
pub fn walk(
    root: &Path,
    rules: &WalkRules<'_>,
    mut visit: impl FnMut(&[u8], WalkedEntry),
) -> Result<()> {
    let mut search = Search::default();
    for file in rules.everywhere {
        read_rules(file, None, &mut search)?;
    }
    let mut open = Vec::new();
    open.extend(OpenFolder::enter(root, Vec::new(), rules, &mut search, &mut visit)?);
    while let Some(folder) = open.last_mut() {
        let Some((name, file_type)) = folder.entries.next() else {
            search.patterns.truncate(folder.rules_before);
            open.pop();
            continue;
        };
        if rules.never.iter().any(|never| name == *never) {
            continue;
        }
        let path = join(&folder.path, name);
        let is_left_out = search
            .pattern_matching_relative_path(
                path.as_slice().into(),
                Some(file_type.is_dir()),
                Case::Sensitive,
            )
            .is_some_and(|rule| !rule.pattern.is_negative());
        if is_left_out {
            continue;
        }
        if file_type.is_dir() {
            open.extend(OpenFolder::enter(root, path, rules, &mut search, &mut visit)?);
            continue;
        }
        match std::fs::symlink_metadata(below(root, &path)) {
            Ok(metadata) => visit(&path, WalkedEntry::File(metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => visit(&path, WalkedEntry::Unreadable(error)),
        }
    }
    Ok(())
}

/// A folder whose entries are being visited.
struct OpenFolder {
    path: Vec<u8>,
    entries: std::vec::IntoIter<(OsString, FileType)>,
    /// How many lists of rules there are without those of this folder.
    rules_before: usize,
}

impl OpenFolder {
    /// `None` where it cannot be listed.
    fn enter(
        root: &Path,
        path: Vec<u8>,
        rules: &WalkRules<'_>,
        search: &mut Search,
        visit: &mut impl FnMut(&[u8], WalkedEntry),
    ) -> Result<Option<Self>> {
        let folder = below(root, &path);
        let mut entries = match list(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_empty() => {
                return Ok(None);
            }
            Err(error) => {
                visit(&path, WalkedEntry::Unreadable(error));
                return Ok(None);
            }
        };
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        visit(&path, WalkedEntry::Folder);
        let rules_before = search.patterns.len();
        for name in rules.in_folders {
            if entries.iter().any(|(entry, file_type)| entry == name && !file_type.is_dir()) {
                read_rules(&folder.join(name), Some(root), search)?;
            }
        }
        Ok(Some(Self { path, entries: entries.into_iter(), rules_before }))
    }
}

fn list(folder: &Path) -> io::Result<Vec<(OsString, FileType)>> {
    std::fs::read_dir(folder)?
        .map(|entry| entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?))))
        .collect()
}

/// Adds the rules of a file, where there is one.
fn read_rules(file: &Path, root: Option<&Path>, search: &mut Search) -> Result<()> {
    let read = match std::fs::metadata(file) {
        // Of a pipe nobody knows when it ends.
        Ok(metadata) if !metadata.is_file() => return Ok(()),
        Ok(_) => List::from_file(file, root, true, &mut Vec::new(), Ignore::default()),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(());
        }
        Err(error) => Err(error),
    };
    let read = read.map_err(|error| {
        Error::failed(format!("cannot read the rules {}: {error}", file.display()))
            .advice("make it readable or remove it; nothing was taken that it may leave out")
    })?;
    search.patterns.extend(read);
    Ok(())
}

fn join(folder: &[u8], name: OsString) -> Vec<u8> {
    if folder.is_empty() {
        return name.into_vec();
    }
    [folder, b"/", name.as_os_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests;

//! What a directory holds, as nodes could hold it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use vdom_core::limits::CONTENT_MAX_BYTES;

pub(super) use vdom_git::file_attributes::{MODE, SYMLINK};
pub(super) use vdom_git::node_path::ORIGINAL_PATH;
use vdom_git::node_path::{RESERVED_FOLDER, encode_path};
use vdom_mirror::belongs_to_mirror;
use vdom_mirror::directory_walk::{self, WalkRules, WalkedEntry};

use crate::exit::{Exit, Failure};
use crate::humanize::{printable, size};

/// The mode of an executable file; others have no attribute.
pub(super) const EXECUTABLE: &str = "100755";

/// A file to bring in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LocalFile {
    /// Where it goes: the path of a node, escaped where its own can be none.
    pub(super) path: String,
    /// Where it is; `None` for a symbolic link, whose content is empty.
    pub(super) source: Option<PathBuf>,
    /// How large it was when it was found.
    pub(super) size_bytes: u64,
    /// Of [`MODE`], [`SYMLINK`] and [`ORIGINAL_PATH`], those that it has.
    pub(super) attributes: BTreeMap<String, String>,
}

/// The files of a directory, and those that no node can be.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// In the order of their paths.
    pub(super) files: Vec<LocalFile>,
    /// What no node can hold or nobody can read, and why.
    pub(super) problems: Vec<(String, Failure)>,
}

/// Lists every file below `directory` but `.git` and a mirror's `.vdom`, hidden ones too; with `gitignore`,
/// without those that `.gitignore` files name. Rules that cannot be read end it.
pub(super) fn walk(directory: &Path, gitignore: bool) -> Result<Walked, Failure> {
    let metadata = std::fs::metadata(directory).map_err(|error| {
        let exit = match error.kind() {
            std::io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Failed,
        };
        Failure::new(exit, format!("cannot read {}: {error}", directory.display()))
    })?;
    if !metadata.is_dir() {
        return Err(Failure::failed(format!("{} is not a directory", directory.display()))
            .advice("`vdom put` writes a single file"));
    }
    let mut walked = Walked::default();
    let rules = WalkRules {
        in_folders: if gitignore { &[".gitignore"] } else { &[] },
        never: &[".git", RESERVED_FOLDER],
        ..WalkRules::default()
    };
    directory_walk::walk(directory, &rules, |path, entry| walked.add(directory, path, entry))?;
    Ok(walked)
}

impl Walked {
    fn add(&mut self, directory: &Path, path: &[u8], entry: WalkedEntry) {
        let found = match entry {
            WalkedEntry::Folder => return,
            WalkedEntry::File(_) if belongs_to_mirror(path) => {
                Err("a mirror laid it there: settle the conflict of its file first".to_owned())
            }
            WalkedEntry::File(metadata) => local_file(directory, path, &metadata),
            WalkedEntry::Unreadable(error) => Err(format!("cannot be read: {error}")),
        };
        match found {
            Ok(file) => self.files.push(file),
            Err(problem) => {
                let path = if path.is_empty() { b"." } else { path };
                let shown = printable(&String::from_utf8_lossy(path));
                self.problems.push((shown, Failure::failed(problem)));
            }
        }
    }
}

fn local_file(directory: &Path, path: &[u8], metadata: &Metadata) -> Result<LocalFile, String> {
    let source = directory.join(OsStr::from_bytes(path));
    let kept = encode_path(path).ok_or("its path is longer than what can be kept")?;
    let path = kept.path.to_string();
    let mut attributes = BTreeMap::new();
    attributes.extend(kept.original.map(|original| (ORIGINAL_PATH.to_owned(), original)));
    if metadata.is_symlink() {
        let target =
            std::fs::read_link(&source).map_err(|error| format!("cannot be read: {error}"))?;
        let target = target.to_str().ok_or("the target of the link is not UTF-8")?;
        attributes.insert(SYMLINK.to_owned(), target.to_owned());
        return Ok(LocalFile { path, source: None, size_bytes: 0, attributes });
    }
    if !metadata.is_file() {
        return Err("it is neither a file nor a symbolic link".to_owned());
    }
    if metadata.len() > CONTENT_MAX_BYTES {
        return Err(format!(
            "it has {}, a node holds at most {}",
            size(metadata.len()),
            size(CONTENT_MAX_BYTES)
        ));
    }
    if is_executable(metadata) {
        attributes.insert(MODE.to_owned(), EXECUTABLE.to_owned());
    }
    Ok(LocalFile { path, source: Some(source), size_bytes: metadata.len(), attributes })
}

/// As git sees it: the owner's bit.
fn is_executable(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o100 != 0
}

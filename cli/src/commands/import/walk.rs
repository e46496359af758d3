//! What a directory holds, as nodes could hold it.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ignore::{DirEntry, WalkBuilder};
use vdom_core::NodePath;
use vdom_core::limits::CONTENT_MAX_BYTES;

pub(super) use vdom_git::file_attributes::{MODE, SYMLINK};

use crate::exit::{Exit, Failure};
use crate::humanize::{printable, size};

/// The mode of an executable file; others have no attribute.
pub(super) const EXECUTABLE: &str = "100755";

/// A file to bring in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LocalFile {
    /// Where it goes: a valid path of a node.
    pub(super) path: String,
    /// Where it is; `None` for a symbolic link, whose content is empty.
    pub(super) source: Option<PathBuf>,
    /// How large it was when it was found.
    pub(super) size_bytes: u64,
    /// Of [`MODE`] and [`SYMLINK`], those that it has.
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

/// Lists every file below `directory` but `.git`, hidden ones too; with
/// `gitignore`, without those that `.gitignore` files name.
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
    let entries = WalkBuilder::new(directory)
        .standard_filters(false)
        .git_ignore(gitignore)
        .require_git(false)
        .filter_entry(|entry| entry.depth() == 0 || entry.file_name() != ".git")
        .sort_by_file_path(Path::cmp)
        .build();
    for entry in entries {
        match entry {
            Ok(entry) => walked.add(directory, &entry),
            Err(error) => walked.problems.push((
                directory.display().to_string(),
                Failure::failed(format!("cannot be read: {error}")),
            )),
        }
    }
    Ok(walked)
}

impl Walked {
    fn add(&mut self, directory: &Path, entry: &DirEntry) {
        if entry.file_type().is_some_and(|file_type| file_type.is_dir()) {
            return;
        }
        let relative = entry.path().strip_prefix(directory).unwrap_or(entry.path());
        match local_file(entry, relative) {
            Ok(file) => self.files.push(file),
            Err(problem) => self
                .problems
                .push((printable(&relative.to_string_lossy()), Failure::failed(problem))),
        }
    }
}

fn local_file(entry: &DirEntry, relative: &Path) -> Result<LocalFile, String> {
    let path = relative.to_str().ok_or("its name is not UTF-8")?;
    NodePath::parse(path).map_err(|error| error.message)?;
    let metadata = entry.metadata().map_err(|error| format!("cannot be read: {error}"))?;
    let mut attributes = BTreeMap::new();
    if metadata.is_symlink() {
        let target =
            std::fs::read_link(entry.path()).map_err(|error| format!("cannot be read: {error}"))?;
        let target = target.to_str().ok_or("the target of the link is not UTF-8")?;
        attributes.insert(SYMLINK.to_owned(), target.to_owned());
        return Ok(LocalFile { path: path.to_owned(), source: None, size_bytes: 0, attributes });
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
    if is_executable(&metadata) {
        attributes.insert(MODE.to_owned(), EXECUTABLE.to_owned());
    }
    Ok(LocalFile {
        path: path.to_owned(),
        source: Some(entry.path().to_owned()),
        size_bytes: metadata.len(),
        attributes,
    })
}

/// As git sees it: the owner's bit.
fn is_executable(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o100 != 0
}

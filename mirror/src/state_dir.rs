//! The mirror's own folder, `.vdom` in the mirrored directory: its lock, its state,
//! and files that wait to take their place.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, symlinkat, unlinkat};
use rustix::io::Errno;
use vdom_git::node_path::RESERVED_FOLDER;

use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::FileStat;

/// More files than this are made durable by one call for all of the file system.
const SYNC_ONE_BY_ONE_MAX: usize = 32;
/// What stands in the rules of a new mirror.
const RULES: &str = "\
# FileEvent this mirror leaves out beside what .gitignore and .ignore files name.
.*.sw?
4913
*~
.#*
\\#*#
";

/// The mirror's own folder; nobody else's as long as this lives.
#[derive(Debug)]
pub(crate) struct StateDir {
    folder: PathBuf,
    incoming: Arc<OwnedFd>,
    next: AtomicU64,
    _lock: File,
}

/// A file or link that waits to take its place; removed with this where it never
/// does.
#[derive(Debug)]
pub(crate) struct StagedFile {
    pub(crate) folder: Arc<OwnedFd>,
    pub(crate) name: String,
}

impl StateDir {
    /// Opens the folder of a directory, and makes it where there is none. Another
    /// mirror that runs there is refused.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let folder = root.join(RESERVED_FOLDER).join("mirror");
        let unusable =
            |error: io::Error| Error::failed(format!("cannot use {}: {error}", folder.display()));
        std::fs::create_dir_all(folder.join("incoming")).map_err(unusable)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join("lock"))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!("another mirror runs in {}", root.display());
                return Err(Error::new(ErrorKind::Conflict, message).advice("end that one first"));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        // For a git repository that holds the directory.
        write_new(&root.join(RESERVED_FOLDER).join(".gitignore"), "*\n").map_err(unusable)?;
        write_new(&folder.join("ignore"), RULES).map_err(unusable)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let incoming = openat(CWD, folder.join("incoming"), flags, Mode::empty())
            .map_err(|error| unusable(error.into()))?;
        discard_leftovers(&folder).map_err(unusable)?;
        Ok(Self { folder, incoming: Arc::new(incoming), next: AtomicU64::new(0), _lock: lock })
    }

    /// Where the state is kept.
    pub(crate) fn state_file(&self) -> PathBuf {
        self.folder.join("state.json")
    }

    /// Rules for what is left out, of this mirror alone.
    pub(crate) fn rules(&self) -> PathBuf {
        self.folder.join("ignore")
    }

    /// A file to be written.
    pub(crate) fn stage_file(&self, is_executable: bool) -> io::Result<(StagedFile, File)> {
        let staged = self.staged();
        let mode = Mode::from_raw_mode(if is_executable { 0o777 } else { 0o666 });
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&staged.folder, staged.name.as_str(), flags, mode)?;
        Ok((staged, File::from(file)))
    }

    /// A symbolic link to this.
    pub(crate) fn stage_link(&self, target: &[u8]) -> io::Result<StagedFile> {
        let staged = self.staged();
        let target = std::ffi::OsStr::from_bytes(target);
        symlinkat(target, &staged.folder, staged.name.as_str())?;
        Ok(staged)
    }

    /// Makes contents survive power loss before they take their place.
    pub(crate) fn sync<'a>(&self, staged: impl Iterator<Item = &'a StagedFile>) -> io::Result<()> {
        let staged: Vec<_> = staged.collect();
        if staged.len() > SYNC_ONE_BY_ONE_MAX {
            return Ok(rustix::fs::syncfs(&self.incoming)?);
        }
        for one in staged {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(&one.folder, one.name.as_str(), flags, Mode::empty()) {
                Ok(file) => rustix::fs::fdatasync(&file)?,
                // A link has no content.
                Err(Errno::LOOP) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// A name in the mirror's own folder that nothing has yet.
    pub(crate) fn staged(&self) -> StagedFile {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        StagedFile { folder: self.incoming.clone(), name: number.to_string() }
    }
}

impl StagedFile {
    /// What stands there, links themselves included.
    pub(crate) fn stat(&self) -> io::Result<Option<FileStat>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = openat(&self.folder, self.name.as_str(), flags, Mode::empty())?;
        Ok(FileStat::of(&File::from(found).metadata()?))
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        // Where it has taken its place there is nothing to remove; else nobody can
        // be told.
        let _is_gone = unlinkat(&self.folder, self.name.as_str(), AtFlags::empty());
    }
}

/// What an earlier mirror left behind when it was killed.
fn discard_leftovers(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder.join("incoming"))? {
        std::fs::remove_file(entry?.path())?;
    }
    Ok(())
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::write(path, text),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_mirror_at_a_time_and_no_leftovers() {
        let root = tempfile::tempdir().expect("a folder");
        let state_dir = StateDir::open(root.path()).expect("opened");
        let refused = StateDir::open(root.path()).expect_err("locked");
        assert_eq!(refused.kind(), Some(ErrorKind::Conflict));
        assert!(refused.to_string().contains("another mirror"), "{refused}");
        let (staged, _) = state_dir.stage_file(false).expect("staged");
        let incoming = root.path().join(".vdom/mirror/incoming");
        let count = || std::fs::read_dir(&incoming).expect("a folder").count();
        assert_eq!(count(), 1);
        std::mem::forget(staged);
        drop(state_dir);
        let state_dir = StateDir::open(root.path()).expect("opened again");
        assert_eq!(count(), 0);
        drop(state_dir.stage_link(b"x").expect("staged"));
        assert_eq!(count(), 0);
    }
}

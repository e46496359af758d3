//! The mirrored directory: what files are in it, and how they change.

mod scan;
mod watch;

use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use vdom_core::limits::CONTENT_MAX_BYTES;

pub(crate) use self::scan::DirectoryScan;
pub(crate) use self::watch::{ObservedPaths, Watcher};

use crate::confined_dir::{ConfinedDir, ExistingFile};
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::{FileStat, FileType, Fingerprint};
use crate::local_path::LocalPath;
use crate::state_dir::{StagedFile, StateDir};

/// How much is read at a time.
const READ_BYTES: usize = 256 << 10;

/// A directory that is mirrored.
#[derive(Debug)]
pub(crate) struct LocalDirectory {
    root: PathBuf,
    confined_dir: ConfinedDir,
    state_dir: StateDir,
}

/// What stands at a path of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LocalEntry {
    Nothing,
    File(FileStat),
    Unusable(UnusableEntry),
}

/// What became of a staged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Install {
    /// It was put in its place, where it stands so; `None`: somebody has taken it away again.
    Done(Option<FileStat>),
    /// Something else stands there by now; the file is still staged.
    Refused,
}

/// What became of a swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exchange {
    Done,
    /// Something else stood there by then, and does again.
    Refused,
    /// The file system cannot.
    NotOffered,
}

/// Something that cannot be mirrored, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UnusableEntry {
    NotAFile,
    ForGit,
    TooLarge { size_bytes: u64 },
    Unreadable(String),
}

impl LocalEntry {
    fn of(metadata: Option<&Metadata>) -> Self {
        let Some(metadata) = metadata.filter(|metadata| !metadata.is_dir()) else {
            return Self::Nothing;
        };
        match FileStat::of(metadata) {
            None => Self::Unusable(UnusableEntry::NotAFile),
            Some(FileStat { size_bytes, .. }) if size_bytes > CONTENT_MAX_BYTES => {
                Self::Unusable(UnusableEntry::TooLarge { size_bytes })
            }
            Some(stat) => Self::File(stat),
        }
    }
}

impl From<UnusableEntry> for Error {
    fn from(entry: UnusableEntry) -> Self {
        match entry {
            UnusableEntry::NotAFile => Self::failed("it is neither a file nor a symbolic link"),
            UnusableEntry::ForGit => {
                Self::failed("some file system takes its name for that of git's own folder")
            }
            UnusableEntry::TooLarge { size_bytes } => Self::FileTooLarge { size_bytes },
            UnusableEntry::Unreadable(problem) => Self::failed(problem),
        }
    }
}

impl LocalDirectory {
    /// Opens a directory for one mirror; it is made where there is none.
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        let unusable = |error: io::Error| {
            let problem = Error::failed(format!("cannot use {}: {error}", directory.display()));
            match error.kind() {
                io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                    problem.advice("name a directory, or one that does not exist yet")
                }
                _ => problem,
            }
        };
        let confined_dir = ConfinedDir::open(directory).map_err(unusable)?;
        let root = directory.canonicalize().map_err(unusable)?;
        let state_dir = StateDir::open(&root)?;
        Ok(Self { root, confined_dir, state_dir })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where its mirror keeps its own things.
    pub(crate) fn state_dir(&self) -> &StateDir {
        &self.state_dir
    }

    /// Whether the directory is still there: without it, no file is.
    pub(crate) fn check(&self) -> Result<()> {
        match self.state_dir.state_file().parent().map(Path::is_dir) {
            Some(true) => Ok(()),
            _ => Err(Error::new(ErrorKind::NotFound, format!("{} is gone", self.root.display()))
                .advice("nothing was deleted in the branch; start the mirror again")),
        }
    }

    /// What stands at a path.
    pub(crate) fn stat(&self, path: &[u8]) -> LocalEntry {
        match self.confined_dir.stat(path) {
            Ok(metadata) => LocalEntry::of(metadata.as_ref()),
            Err(error) => {
                let problem = format!("cannot be read: {error}");
                LocalEntry::Unusable(UnusableEntry::Unreadable(problem))
            }
        }
    }

    /// What a file is; `None` where it changes while it is read.
    pub(crate) fn fingerprint(
        &self,
        path: &LocalPath,
        stat: &FileStat,
    ) -> io::Result<Option<Fingerprint>> {
        let (sha256, size_bytes) = if stat.file_type == FileType::Link {
            let target = self.confined_dir.read_link(path.as_bytes())?;
            (Sha256::digest(&target).into(), target.len() as u64)
        } else {
            digest(self.confined_dir.read(path.as_bytes())?)?
        };
        let is_same = self.stat(path.as_bytes()) == LocalEntry::File(*stat);
        Ok(is_same.then_some(Fingerprint { file_type: stat.file_type, sha256, size_bytes }))
    }

    /// The content of a file, or the target of a link.
    pub(crate) fn content(&self, path: &LocalPath, file_type: FileType) -> io::Result<Bytes> {
        if file_type == FileType::Link {
            return Ok(self.confined_dir.read_link(path.as_bytes())?.into());
        }
        let mut content = Vec::new();
        self.confined_dir
            .read(path.as_bytes())?
            .take(CONTENT_MAX_BYTES + 1)
            .read_to_end(&mut content)?;
        Ok(content.into())
    }

    /// Opens a file to read it piece by piece.
    pub(crate) fn open_file(&self, path: &LocalPath) -> io::Result<File> {
        self.confined_dir.read(path.as_bytes())
    }

    /// Puts a staged file in its place, where `instead_of` still stands there.
    pub(crate) fn install(
        &self,
        staged: &StagedFile,
        path: &[u8],
        instead_of: Option<&FileStat>,
    ) -> io::Result<Install> {
        let target = match (self.stat(path), instead_of) {
            (LocalEntry::Nothing, None) => ExistingFile::Refuse,
            (LocalEntry::File(found), Some(expected)) if found == *expected => {
                self.keep_permissions(staged, path)?;
                match self.exchange(staged, path, expected)? {
                    Exchange::Done => return Ok(self.installed(path)),
                    Exchange::Refused => return Ok(Install::Refused),
                    Exchange::NotOffered => ExistingFile::Overwrite,
                }
            }
            (LocalEntry::Unusable(entry), _) => return Err(io::Error::other(Error::from(entry))),
            _ => return Ok(Install::Refused),
        };
        match self.confined_dir.take_in(&staged.folder, &staged.name, path, target) {
            Ok(()) => {}
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists
                    && self.stat(path) != LocalEntry::Nothing =>
            {
                return Ok(Install::Refused);
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::AlreadyExists | io::ErrorKind::IsADirectory
                ) =>
            {
                return Err(io::Error::other("a directory stands in the way"));
            }
            Err(error) => return Err(error),
        }
        Ok(self.installed(path))
    }

    fn installed(&self, path: &[u8]) -> Install {
        Install::Done(match self.stat(path) {
            LocalEntry::File(stat) => Some(stat),
            LocalEntry::Nothing | LocalEntry::Unusable(_) => None,
        })
    }

    /// Swaps a staged file in, and looks at what came out: what somebody wrote since the
    /// last look goes back.
    fn exchange(
        &self,
        staged: &StagedFile,
        path: &[u8],
        expected: &FileStat,
    ) -> io::Result<Exchange> {
        match self.confined_dir.exchange(&staged.folder, &staged.name, path) {
            Ok(true) => {}
            Ok(false) => return Ok(Exchange::NotOffered),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Exchange::Refused),
            Err(error) => return Err(error),
        }
        if matches!(staged.stat(), Ok(Some(out)) if out.is_same_under_another_name(expected)) {
            return Ok(Exchange::Done);
        }
        self.confined_dir.exchange(&staged.folder, &staged.name, path)?;
        Ok(Exchange::Refused)
    }

    /// Removes a file that still stands as it was seen; false: it does not.
    pub(crate) fn remove(&self, path: &LocalPath, seen: &FileStat) -> io::Result<bool> {
        if self.stat(path.as_bytes()) != LocalEntry::File(*seen) {
            return Ok(false);
        }
        self.take_out(path, seen)
    }

    /// Moves a file out, looks at it there, and only then lets it go: what somebody wrote
    /// since the last look goes back.
    fn take_out(&self, path: &LocalPath, seen: &FileStat) -> io::Result<bool> {
        let out = self.state_dir.staged();
        match self.confined_dir.take_out(path.as_bytes(), &out.folder, &out.name) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        if matches!(out.stat(), Ok(Some(out)) if out.is_same_under_another_name(seen)) {
            self.confined_dir.prune(path.as_bytes())?;
            return Ok(true);
        }
        let back = ExistingFile::Refuse;
        match self.confined_dir.take_in(&out.folder, &out.name, path.as_bytes(), back) {
            Ok(()) => Ok(false),
            // Somebody has written there once more: that is the newest.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the branch's version that was laid beside a file.
    pub(crate) fn remove_theirs(&self, path: &LocalPath) -> io::Result<()> {
        self.confined_dir.remove(&path.theirs())
    }

    /// Moves a file to a path where nothing stands.
    pub(crate) fn rename(&self, from: &LocalPath, to: &LocalPath) -> io::Result<()> {
        self.confined_dir.rename(from.as_bytes(), to.as_bytes())
    }

    /// What the owner allowed others stays so; only the executable bit is the
    /// branch's.
    fn keep_permissions(&self, staged: &StagedFile, path: &[u8]) -> io::Result<()> {
        let old = self.confined_dir.stat(path)?.filter(Metadata::is_file);
        let flags =
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC;
        let new = rustix::fs::openat(
            &staged.folder,
            staged.name.as_str(),
            flags,
            rustix::fs::Mode::empty(),
        );
        let (Some(old), Ok(new)) = (old, new) else { return Ok(()) };
        let new = File::from(new);
        let is_executable = new.metadata()?.permissions().mode() & 0o100 != 0;
        let old = old.permissions().mode() & 0o777;
        // Who may read it may run it.
        let mode = if is_executable { old | (old & 0o444) >> 2 } else { old & !0o111 };
        new.set_permissions(Permissions::from_mode(mode))
    }
}

fn digest(mut file: File) -> io::Result<([u8; 32], u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut size_bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((hasher.finalize().into(), size_bytes));
        }
        hasher.update(&buffer[..read]);
        size_bytes += read as u64;
    }
}

#[cfg(test)]
mod tests;

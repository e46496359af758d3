//! The mirrored directory: what files are in it, and how they change.

mod survey;
mod watch;

use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vdom_core::limits::CONTENT_MAX_BYTES;

pub(super) use self::survey::Survey;
pub(super) use self::watch::{Noted, Watcher};

use super::home::{Home, Staged};
use super::path::LocalPath;
use super::plan::{Form, Shape};
use crate::exit::{Exit, Failure};
use crate::output::size;
use crate::place::{Place, Target};

/// How much is read at a time.
const READ_BYTES: usize = 256 << 10;

/// A directory that is mirrored.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    place: Place,
    home: Home,
}

/// How a file stands, without reading it: as long as this is the same, so is the
/// content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Look {
    pub(super) form: Form,
    pub(super) size_bytes: u64,
    inode: u64,
    modified_ns: i64,
    /// When content, mode or name changed last.
    pub(super) changed_ns: i64,
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    File(Look),
    /// Something that cannot be mirrored, and why.
    Unusable(String),
}

impl Look {
    /// Two changes within this may leave the same times, in nanoseconds.
    pub(super) const TICK_NS: i64 = 20_000_000;

    fn of(metadata: &Metadata) -> Option<Self> {
        let form = if metadata.is_symlink() {
            Form::Link
        } else if !metadata.is_file() {
            return None;
        } else if metadata.permissions().mode() & 0o100 != 0 {
            // As git sees it: the owner's bit.
            Form::Executable
        } else {
            Form::Plain
        };
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000) + rest;
        Some(Self {
            form,
            size_bytes: metadata.len(),
            inode: metadata.ino(),
            modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl Found {
    fn of(metadata: Option<&Metadata>) -> Self {
        let Some(metadata) = metadata.filter(|metadata| !metadata.is_dir()) else {
            return Self::Nothing;
        };
        match Look::of(metadata) {
            None => Self::Unusable("it is neither a file nor a symbolic link".to_owned()),
            Some(look) if look.size_bytes > CONTENT_MAX_BYTES => Self::Unusable(format!(
                "it has {}, a node holds at most {}",
                size(look.size_bytes),
                size(CONTENT_MAX_BYTES)
            )),
            Some(look) => Self::File(look),
        }
    }
}

impl Disk {
    /// Opens a directory for one mirror; it is made where there is none.
    pub(super) fn open(directory: &Path) -> Result<Self, Failure> {
        let unusable = |error: io::Error| {
            let failure = Failure::failed(format!("cannot use {}: {error}", directory.display()));
            match error.kind() {
                io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                    failure.advice("name a directory, or one that does not exist yet")
                }
                _ => failure,
            }
        };
        let place = Place::open(directory).map_err(unusable)?;
        let root = directory.canonicalize().map_err(unusable)?;
        let home = Home::open(&root)?;
        Ok(Self { root, place, home })
    }

    /// Where it is.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where its mirror keeps its own things.
    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    /// Whether the directory is still there: without it, no file is.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match self.home.state_file().parent().map(Path::is_dir) {
            Some(true) => Ok(()),
            _ => Err(Failure::new(Exit::NotFound, format!("{} is gone", self.root.display()))
                .advice("nothing was deleted in the branch; start the mirror again")),
        }
    }

    /// What stands at a path.
    pub(super) fn look(&self, path: &[u8]) -> Found {
        match self.place.look(path) {
            Ok(metadata) => Found::of(metadata.as_ref()),
            Err(error) => Found::Unusable(format!("cannot be read: {error}")),
        }
    }

    /// What a file is; `None` where it changes while it is read.
    pub(super) fn shape(&self, path: &LocalPath, look: &Look) -> io::Result<Option<Shape>> {
        let (sha256, size_bytes) = if look.form == Form::Link {
            let target = self.place.read_link(path.as_bytes())?;
            (Sha256::digest(&target).into(), target.len() as u64)
        } else {
            digest(self.place.read(path.as_bytes())?)?
        };
        let is_same = self.look(path.as_bytes()) == Found::File(*look);
        Ok(is_same.then_some(Shape { form: look.form, sha256, size_bytes }))
    }

    /// The content of a file, or the target of a link.
    pub(super) fn content(&self, path: &LocalPath, form: Form) -> io::Result<Bytes> {
        if form == Form::Link {
            return Ok(self.place.read_link(path.as_bytes())?.into());
        }
        let mut content = Vec::new();
        self.place.read(path.as_bytes())?.take(CONTENT_MAX_BYTES + 1).read_to_end(&mut content)?;
        Ok(content.into())
    }

    /// Opens a file to read it piece by piece.
    pub(super) fn open_file(&self, path: &LocalPath) -> io::Result<File> {
        self.place.read(path.as_bytes())
    }

    /// Puts a staged file in its place, where `instead_of` still stands there.
    /// Answers how it stands then; `None`: something else stands there now.
    pub(super) fn bring(
        &self,
        staged: &Staged,
        path: &[u8],
        instead_of: Option<&Look>,
    ) -> io::Result<Option<Look>> {
        let target = match (self.look(path), instead_of) {
            (Found::Nothing, None) => Target::Free,
            (Found::File(found), Some(expected)) if found == *expected => {
                self.keep_permissions(staged, path)?;
                Target::Any
            }
            (Found::Unusable(why), _) => return Err(io::Error::other(why)),
            _ => return Ok(None),
        };
        match self.place.take_in(&staged.folder, &staged.name, path, target) {
            Ok(()) => {}
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists
                    && self.look(path) != Found::Nothing =>
            {
                return Ok(None);
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
        match self.look(path) {
            Found::File(look) => Ok(Some(look)),
            Found::Nothing | Found::Unusable(_) => Ok(None),
        }
    }

    /// Removes a file that still stands as it was seen; false: it does not.
    pub(super) fn remove(&self, path: &LocalPath, seen: &Look) -> io::Result<bool> {
        if self.look(path.as_bytes()) != Found::File(*seen) {
            return Ok(false);
        }
        self.place.remove(path.as_bytes())?;
        Ok(true)
    }

    /// Removes the branch's version that was laid beside a file.
    pub(super) fn remove_theirs(&self, path: &LocalPath) -> io::Result<()> {
        self.place.remove(&path.theirs())
    }

    /// Moves a file to a path where nothing stands.
    pub(super) fn rename(&self, from: &LocalPath, to: &LocalPath) -> io::Result<()> {
        self.place.rename(from.as_bytes(), to.as_bytes())
    }

    /// What the owner allowed others stays so; only the executable bit is the
    /// branch's.
    fn keep_permissions(&self, staged: &Staged, path: &[u8]) -> io::Result<()> {
        let old = self.place.look(path)?.filter(Metadata::is_file);
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

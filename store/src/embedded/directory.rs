//! The directory of a store: who has it open, its format, and what it acknowledged.
//!
//! | file | holds |
//! |---|---|
//! | `LOCK` | locked by the process that has the store open |
//! | `FORMAT` | `vdom-store 3` |
//! | `MARK` | the last groups of the engine that were acknowledged ([`Marker`]) |
//! | `log/`, `chunks/` | the segments of logs and of chunks, and a `MARK` of theirs |
//! | `CLOSED` | nothing; it is there while the store is closed and all of it is on the disk |
//! | `N.jnl.cut` | what a journal of a damaged store held after its last whole write |
//! | `engine/` | the engine's files; `engine.new/` until they are whole |

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tokio::sync::oneshot;

use super::errors::{damaged, unavailable};
use super::marker::{LastGroups, Marker};
use crate::error::{StoreError, StoreErrorKind, StoreResult};

/// The format of this release.
pub(super) const FORMAT: u32 = 3;
/// Its engine holds the batches.
pub(super) const FORMAT_WITHOUT_SEGMENTS: u32 = 1;
const MARKER: &str = "MARK";
const FORMAT_NAME: &str = "vdom-store";
const FORMAT_MAX_BYTES: u64 = 64;

/// The directory, locked while this lives.
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
    /// Dropped last: the receiver learns that the directory is free.
    _released: oneshot::Sender<()>,
}

impl Directory {
    /// Locks the directory and holds it to its format; creates it where it is not.
    /// The receiver ends when the directory is free again.
    /// `create_segments` makes what logs and chunks need in a new one.
    pub(super) fn open(
        path: &Path,
        create_segments: impl FnOnce() -> io::Result<()>,
    ) -> StoreResult<(Self, oneshot::Receiver<()>)> {
        let failed = |what: &str, error: &io::Error| unavailable(path, what, error);
        make_directory(path).map_err(|error| failed("cannot create", &error))?;
        let lock = lock(path)?;
        let (sender, released) = oneshot::channel();
        let directory = Self { path: path.to_owned(), _lock: lock, _released: sender };
        if !directory.holds_store()? {
            directory.create(create_segments).map_err(|error| failed("cannot create", &error))?;
        }
        directory.format()?;
        Ok((directory, released))
    }

    pub(super) fn engine_path(&self) -> PathBuf {
        self.path.join("engine")
    }

    /// Makes the engine where there is none. It gets its name once it is whole, because
    /// the engine does not open what a crash left of making one.
    pub(super) fn create_engine(
        &self,
        create: impl FnOnce(&Path) -> StoreResult<()>,
    ) -> StoreResult<()> {
        let failed = |error: io::Error| unavailable(&self.path, "cannot create", &error);
        let (new, engine) = (self.path.join("engine.new"), self.engine_path());
        if !engine.try_exists().map_err(failed)? {
            match fs::remove_dir_all(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => create(&new)?,
            }
            fs::rename(&new, engine).map_err(failed)?;
        }
        // Also where it was there: who made it may have ended before its name lasted.
        sync_directory(&self.path).map_err(failed)
    }

    /// Whether the store was closed with all of it on the disk. It no longer is.
    ///
    /// `CLOSED` needs no fsync: where a power cut brings the file back, it took from
    /// memory whatever was not on the disk.
    pub(super) fn take_closed(&self) -> StoreResult<bool> {
        match fs::remove_file(self.path.join("CLOSED")) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(unavailable(&self.path, "cannot open", &error)),
        }
    }

    /// Notes that all of the store is on the disk.
    pub(super) fn set_closed(&self) -> io::Result<()> {
        File::create(self.path.join("CLOSED")).map(drop)
    }

    /// The marker of what the engine acknowledged.
    pub(super) fn marker(&self) -> PathBuf {
        self.path.join(MARKER)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn holds_store(&self) -> StoreResult<bool> {
        let exists = |name: &str| {
            let exists = self.path.join(name).try_exists();
            exists.map_err(|error| unavailable(&self.path, "cannot read", &error))
        };
        if exists("FORMAT")? {
            return Ok(true);
        }
        if exists("engine")? {
            return Err(damaged(&self.path, "its FORMAT file is gone"));
        }
        Ok(false)
    }

    fn create(&self, create_segments: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match sync_directory(parent(&self.path)) {
            // Whoever made a directory that we may not see has to make its name last.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
        Marker::create(&self.path.join(MARKER), LastGroups::default())?;
        create_segments()?;
        // The rename is what makes the directory a store.
        self.set_format()
    }

    /// Notes that the store has the format of this release, which lasts.
    pub(super) fn set_format(&self) -> io::Result<()> {
        let (new, path) = (self.path.join("FORMAT.new"), self.path.join("FORMAT"));
        let mut format = File::create(&new)?;
        writeln!(format, "{FORMAT_NAME} {FORMAT}")?;
        format.sync_all()?;
        fs::rename(new, path)?;
        sync_directory(&self.path)
    }

    /// The format that the store has, at most that of this release.
    pub(super) fn format(&self) -> StoreResult<u32> {
        let mut text = String::new();
        let read = File::open(self.path.join("FORMAT"))
            .and_then(|file| file.take(FORMAT_MAX_BYTES).read_to_string(&mut text));
        match read {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
            Err(error) => return Err(unavailable(&self.path, "cannot read FORMAT of", &error)),
            Ok(_) => {}
        }
        let version = (text.trim_end().strip_prefix(FORMAT_NAME))
            .and_then(|rest| rest.strip_prefix(' ')?.parse::<u32>().ok());
        match version {
            Some(format @ FORMAT_WITHOUT_SEGMENTS..=FORMAT) => Ok(format),
            Some(newer) if newer > FORMAT => Err(StoreError::new(
                StoreErrorKind::NewerFormat,
                format_args!(
                    "the store at {} has format {newer}, this release reads {FORMAT}: \
                     use the release that wrote it, or a newer one",
                    self.path.display()
                ),
            )),
            _ => Err(damaged(&self.path, "its FORMAT file is not one of ours")),
        }
    }
}

/// Makes a directory, and those above it, whose names last.
fn make_directory(path: &Path) -> io::Result<()> {
    let made = match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_directory(parent(path))?;
            fs::create_dir(path)
        }
        made => made,
    };
    match made {
        Ok(()) => sync_directory(parent(path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// Makes the names in a directory last.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn lock(path: &Path) -> StoreResult<File> {
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join("LOCK"))
        .map_err(|error| unavailable(path, "cannot open LOCK of", &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::new(
            StoreErrorKind::AlreadyOpen,
            format_args!(
                "the store at {} is already open in another process: stop that process, \
                 or choose another directory",
                path.display()
            ),
        )),
        Err(TryLockError::Error(error)) => Err(unavailable(path, "cannot lock", &error)),
    }
}

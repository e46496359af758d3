//! The directory of a store: who has it open, its format, and what it acknowledged.
//!
//! | file | holds |
//! |---|---|
//! | `LOCK` | locked by the process that has the store open |
//! | `FORMAT` | `vdom-store 1` |
//! | `MARK` | the last group that was acknowledged |
//! | `engine/` | the engine's files |

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tokio::sync::oneshot;

use crate::contract::{StoreError, StoreErrorKind, StoreResult};

const FORMAT: u32 = 1;
const FORMAT_NAME: &str = "vdom-store";
const FORMAT_MAX_BYTES: u64 = 64;

/// Each in a sector of its own, written in turns: one of them is always whole.
const MARK_SLOTS: [u64; 2] = [0, 4096];
const MARK_BYTES: usize = 12;

/// The directory, locked while this lives.
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
    /// Dropped last: the receiver learns that the directory is free.
    _released: oneshot::Sender<()>,
}

/// The number of the last acknowledged group, beside the engine.
///
/// It is written after every fsync, without one of its own: after a crash of the
/// process it is exact, after a power cut at most too low. An engine that ends
/// before it has lost what was acknowledged, even where it takes the loss for the
/// torn end of a journal.
pub(super) struct Mark {
    file: File,
    group: u64,
}

impl Directory {
    /// Locks the directory and holds it to its format; creates it where it is not.
    /// The receiver ends when the directory is free again.
    pub(super) fn open(path: &Path) -> StoreResult<(Self, Mark, oneshot::Receiver<()>)> {
        let failed = |what: &str, error: &io::Error| unavailable(path, what, error);
        fs::create_dir_all(path).map_err(|error| failed("cannot create", &error))?;
        let lock = lock(path)?;
        let (sender, released) = oneshot::channel();
        let directory = Self { path: path.to_owned(), _lock: lock, _released: sender };
        if !directory.holds_store()? {
            directory.create().map_err(|error| failed("cannot create", &error))?;
        }
        directory.check_format()?;
        let mark = Mark::open(path)?;
        Ok((directory, mark, released))
    }

    pub(super) fn engine_path(&self) -> PathBuf {
        self.path.join("engine")
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

    fn create(&self) -> io::Result<()> {
        let mut mark = File::create(self.path.join("MARK"))?;
        mark.write_all(&vec![0; MARK_SLOTS[1] as usize + MARK_BYTES])?;
        for slot in MARK_SLOTS {
            mark.seek(SeekFrom::Start(slot))?;
            mark.write_all(&encode_mark(0))?;
        }
        mark.sync_all()?;
        // The rename is what makes the directory a store.
        let (new, path) = (self.path.join("FORMAT.new"), self.path.join("FORMAT"));
        let mut format = File::create(&new)?;
        writeln!(format, "{FORMAT_NAME} {FORMAT}")?;
        format.sync_all()?;
        fs::rename(new, path)?;
        File::open(&self.path)?.sync_all()
    }

    fn check_format(&self) -> StoreResult<()> {
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
            Some(FORMAT) => Ok(()),
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

impl Mark {
    /// The last group that was acknowledged.
    pub(super) fn group(&self) -> u64 {
        self.group
    }

    /// Takes note of an acknowledged group.
    pub(super) fn set(&mut self, group: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(MARK_SLOTS[(group % 2) as usize]))?;
        self.file.write_all(&encode_mark(group))?;
        self.group = group;
        Ok(())
    }

    /// Makes the mark as lasting as the groups that it names.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn open(path: &Path) -> StoreResult<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path.join("MARK"));
        let mut file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(path, "its MARK file is gone"));
            }
            Err(error) => return Err(unavailable(path, "cannot open MARK of", &error)),
        };
        let mut group = None;
        for slot in MARK_SLOTS {
            let mut bytes = [0; MARK_BYTES];
            let read = file.seek(SeekFrom::Start(slot)).and_then(|_| file.read_exact(&mut bytes));
            match read {
                Ok(()) => group = group.max(decode_mark(&bytes)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Err(error) => return Err(unavailable(path, "cannot read MARK of", &error)),
            }
        }
        match group {
            Some(group) => Ok(Self { file, group }),
            None => Err(damaged(path, "its MARK file cannot be read")),
        }
    }
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

fn encode_mark(group: u64) -> [u8; MARK_BYTES] {
    let mut mark = [0; MARK_BYTES];
    mark[..8].copy_from_slice(&group.to_le_bytes());
    // The complement, so that zeros are no mark.
    let checksum = !crc32fast::hash(&mark[..8]);
    mark[8..].copy_from_slice(&checksum.to_le_bytes());
    mark
}

fn decode_mark(bytes: &[u8; MARK_BYTES]) -> Option<u64> {
    let (group, _) = bytes.split_first_chunk()?;
    let group = u64::from_le_bytes(*group);
    (encode_mark(group) == *bytes).then_some(group)
}

fn damaged(path: &Path, what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Damaged,
        format_args!(
            "the store at {} is damaged: {what}; restore it from a backup",
            path.display()
        ),
    )
}

fn unavailable(path: &Path, what: &str, error: &io::Error) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format_args!("{what} the store at {}: {error}", path.display()),
    )
}

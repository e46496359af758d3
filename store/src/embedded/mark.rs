//! What was acknowledged, noted beside the engine.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::directory::{damaged, unavailable};
use super::engine::{SPACES, Space};
use crate::contract::StoreResult;

/// Each in a sector of its own, written in turns: one of them is always whole.
const SLOTS: [u64; 2] = [0, 4096];
const CHECKSUM_AT: usize = 8 * SPACES.len();
const MARK_BYTES: usize = CHECKSUM_AT + 4;

/// For each space the last durable group that wrote to it.
pub(super) type Groups = [u64; SPACES.len()];

/// The groups that were acknowledged.
///
/// They are noted after every fsync, without one of their own: after a crash of the
/// process they are exact, after a power cut at most too low. A space that ends
/// before them has lost what was acknowledged, even where the engine takes the loss
/// for the torn end of a journal.
pub(super) struct Mark {
    file: File,
    groups: Groups,
}

impl Mark {
    /// Notes that nothing was acknowledged.
    pub(super) fn create(directory: &Path) -> io::Result<()> {
        let mut file = File::create(directory.join("MARK"))?;
        file.write_all(&vec![0; SLOTS[1] as usize + MARK_BYTES])?;
        for slot in SLOTS {
            file.seek(SeekFrom::Start(slot))?;
            file.write_all(&encode(&Groups::default()))?;
        }
        file.sync_all()
    }

    /// Reads what was noted.
    pub(super) fn open(directory: &Path) -> StoreResult<Self> {
        let file = OpenOptions::new().read(true).write(true).open(directory.join("MARK"));
        let mut file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(directory, "its MARK file is gone"));
            }
            Err(error) => return Err(unavailable(directory, "cannot open MARK of", &error)),
        };
        let mut groups: Option<Groups> = None;
        for slot in SLOTS {
            let mut bytes = [0; MARK_BYTES];
            let read = file.seek(SeekFrom::Start(slot)).and_then(|_| file.read_exact(&mut bytes));
            match read {
                Ok(()) => groups = groups.into_iter().chain(decode(&bytes)).max_by_key(newest),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Err(error) => return Err(unavailable(directory, "cannot read MARK of", &error)),
            }
        }
        match groups {
            Some(groups) => Ok(Self { file, groups }),
            None => Err(damaged(directory, "its MARK file cannot be read")),
        }
    }

    /// Refuses an engine that ends before what was acknowledged.
    pub(super) fn check(&self, directory: &Path, stored: &Groups) -> StoreResult<()> {
        for ((space, name), (stored, marked)) in SPACES.iter().zip(stored.iter().zip(&self.groups))
        {
            if stored < marked {
                tracing::error!(?space, stored, marked, "the engine lost groups");
                let what = format!("acknowledged writes to its {name} are gone");
                return Err(damaged(directory, &what));
            }
        }
        Ok(())
    }

    /// Takes note of an acknowledged group.
    pub(super) fn set(&mut self, spaces: &[Space], group: u64) -> io::Result<()> {
        for space in spaces {
            self.groups[*space as usize] = group;
        }
        self.file.seek(SeekFrom::Start(SLOTS[(group % 2) as usize]))?;
        self.file.write_all(&encode(&self.groups))
    }

    /// Makes the mark as lasting as the groups that it names.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// The number of the last group of all.
pub(super) fn newest(groups: &Groups) -> u64 {
    groups.iter().copied().max().unwrap_or_default()
}

fn encode(groups: &Groups) -> [u8; MARK_BYTES] {
    let mut mark = [0; MARK_BYTES];
    for (bytes, group) in mark.chunks_exact_mut(8).zip(groups) {
        bytes.copy_from_slice(&group.to_le_bytes());
    }
    // The complement, so that zeros are no mark.
    let checksum = !crc32fast::hash(&mark[..CHECKSUM_AT]);
    mark[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
    mark
}

fn decode(mark: &[u8; MARK_BYTES]) -> Option<Groups> {
    let (bytes, _) = mark[..CHECKSUM_AT].as_chunks();
    let mut groups = Groups::default();
    for (group, bytes) in groups.iter_mut().zip(bytes) {
        *group = u64::from_le_bytes(*bytes);
    }
    (encode(&groups) == *mark).then_some(groups)
}

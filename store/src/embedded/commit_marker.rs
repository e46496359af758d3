//! What was acknowledged, noted beside the engine.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::errors::{damaged, unavailable};
use super::keyspace::{KEYSPACES, Keyspace};
use crate::error::StoreResult;

/// Each in a sector of its own, written in turns: one of them is always whole.
const SLOTS: [u64; 2] = [0, 4096];
const CHECKSUM_AT: usize = 8 * KEYSPACES.len();
const MARKER_BYTES: usize = CHECKSUM_AT + 4;

/// For each keyspace the last durable group that wrote to it.
pub(super) type LastGroups = [u64; KEYSPACES.len()];

/// The groups that were acknowledged.
///
/// They are noted after every fsync, without one of their own: after a crash of the
/// process they are exact, after a power cut at most too low. A keyspace that ends
/// before them has lost what was acknowledged, even where the engine takes the loss
/// for the torn end of a journal.
pub(super) struct CommitMarker {
    file: File,
    groups: LastGroups,
}

impl CommitMarker {
    /// Notes that nothing was acknowledged.
    pub(super) fn create(directory: &Path) -> io::Result<()> {
        let mut file = File::create(directory.join("MARK"))?;
        file.write_all(&vec![0; SLOTS[1] as usize + MARKER_BYTES])?;
        for slot in SLOTS {
            file.seek(SeekFrom::Start(slot))?;
            file.write_all(&encode(&LastGroups::default()))?;
        }
        file.sync_all()
    }

    /// Reads the newer of the slots that are whole.
    pub(super) fn open(directory: &Path) -> StoreResult<Self> {
        let file = OpenOptions::new().read(true).write(true).open(directory.join("MARK"));
        let mut file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(directory, "its MARK file is gone"));
            }
            Err(error) => return Err(unavailable(directory, "cannot open MARK of", &error)),
        };
        let mut groups: Option<LastGroups> = None;
        for slot in SLOTS {
            let mut bytes = [0; MARKER_BYTES];
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
    pub(super) fn check(&self, directory: &Path, stored: &LastGroups) -> StoreResult<()> {
        for ((keyspace, name), (stored, marked)) in
            KEYSPACES.iter().zip(stored.iter().zip(&self.groups))
        {
            if stored < marked {
                tracing::error!(?keyspace, stored, marked, "the engine lost groups");
                let what = format!("acknowledged writes to its {name} are gone");
                return Err(damaged(directory, &what));
            }
        }
        Ok(())
    }

    /// Takes note of an acknowledged group.
    pub(super) fn set(&mut self, keyspaces: &[Keyspace], group: u64) -> io::Result<()> {
        for keyspace in keyspaces {
            self.groups[*keyspace as usize] = group;
        }
        self.file.seek(SeekFrom::Start(SLOTS[(group % 2) as usize]))?;
        self.file.write_all(&encode(&self.groups))
    }

    /// Makes the marker as lasting as the groups that it names.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// The number of the last group of all.
pub(super) fn newest(groups: &LastGroups) -> u64 {
    groups.iter().copied().max().unwrap_or_default()
}

fn encode(groups: &LastGroups) -> [u8; MARKER_BYTES] {
    let mut marker = [0; MARKER_BYTES];
    for (bytes, group) in marker.chunks_exact_mut(8).zip(groups) {
        bytes.copy_from_slice(&group.to_le_bytes());
    }
    // The complement, so that zeros are no marker.
    let checksum = !crc32fast::hash(&marker[..CHECKSUM_AT]);
    marker[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
    marker
}

fn decode(marker: &[u8; MARKER_BYTES]) -> Option<LastGroups> {
    let (bytes, _) = marker[..CHECKSUM_AT].as_chunks();
    let mut groups = LastGroups::default();
    for (group, bytes) in groups.iter_mut().zip(bytes) {
        *group = u64::from_le_bytes(*bytes);
    }
    (encode(&groups) == *marker).then_some(groups)
}

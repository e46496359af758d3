//! What was acknowledged, noted beside what it is about.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::errors::{damaged, unavailable};
use super::keyspace::KEYSPACES;
use crate::error::StoreResult;

/// Each in a sector of its own, written in turns: one of them is always whole.
const SLOTS: [u64; 2] = [0, 4096];

/// For each keyspace the last durable group that wrote to it. The first number was that of the
/// batches, which stores of format 1 kept in the engine.
pub(super) type LastGroups = [u64; 1 + KEYSPACES.len()];

/// Numbers that never decrease, written down after every sync of what they speak of, without a
/// sync of their own.
///
/// After a crash of the process they are exact, after a power cut at most too low. What ends
/// before them has lost what was acknowledged, however much it looks like the torn end of a
/// crash.
pub(super) struct Marker<const N: usize> {
    file: File,
    pub(super) values: [u64; N],
    /// The slot to write next.
    pub(super) slot: usize,
}

impl<const N: usize> Marker<N> {
    /// Makes the file, which lasts once its directory is synced.
    pub(super) fn create(path: &Path, values: [u64; N]) -> io::Result<()> {
        let mut file = File::create(path)?;
        let marker = encode(&values);
        file.write_all(&vec![0; SLOTS[1] as usize + marker.len()])?;
        for slot in SLOTS {
            file.write_all_at(&marker, slot)?;
        }
        file.sync_all()
    }

    /// Reads the newer of the slots that are whole; `directory` is that of the store.
    pub(super) fn open(directory: &Path, path: &Path) -> StoreResult<Self> {
        let name = path.strip_prefix(directory).unwrap_or(path).display();
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(directory, &format!("its {name} file is gone")));
            }
            Err(error) => {
                return Err(unavailable(directory, &format!("cannot open {name} of"), &error));
            }
        };
        let mut newest: Option<([u64; N], usize)> = None;
        for (slot, at) in SLOTS.into_iter().enumerate() {
            let mut bytes = vec![0; encoded_bytes(N)];
            match file.read_exact_at(&mut bytes, at) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                Err(error) => {
                    return Err(unavailable(directory, &format!("cannot read {name} of"), &error));
                }
            }
            let values =
                decode(&bytes).filter(|values| newest.is_none_or(|(newest, _)| newest < *values));
            newest = values.map(|values| (values, slot)).or(newest);
        }
        match newest {
            Some((values, slot)) => Ok(Self { file, values, slot: 1 - slot }),
            None => Err(damaged(directory, &format!("its {name} file cannot be read"))),
        }
    }

    /// Takes note of what was acknowledged.
    pub(super) fn set(&mut self, values: [u64; N]) -> io::Result<()> {
        self.values = values;
        self.file.write_all_at(&encode(&values), SLOTS[self.slot])?;
        self.slot = 1 - self.slot;
        Ok(())
    }

    /// Makes the marker as lasting as what it names.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// What the engine acknowledged.
pub(super) type EngineMarker = Marker<{ 1 + KEYSPACES.len() }>;

impl EngineMarker {
    /// Refuses an engine that ends before what was acknowledged.
    pub(super) fn check(&self, directory: &Path, stored: &LastGroups) -> StoreResult<()> {
        for ((keyspace, name), (stored, marked)) in
            KEYSPACES.iter().zip(stored.iter().zip(&self.values).skip(1))
        {
            if stored < marked {
                tracing::error!(?keyspace, stored, marked, "the engine lost groups");
                let what = format!("acknowledged writes to its {name} are gone");
                return Err(damaged(directory, &what));
            }
        }
        Ok(())
    }
}

/// The number of the last group of all.
pub(super) fn newest(groups: &LastGroups) -> u64 {
    groups.iter().copied().max().unwrap_or_default()
}

fn encoded_bytes(values: usize) -> usize {
    8 * values + 4
}

fn encode(values: &[u64]) -> Vec<u8> {
    let mut marker = Vec::with_capacity(encoded_bytes(values.len()));
    marker.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    // The complement, so that zeros are no marker.
    let checksum = !crc32fast::hash(&marker);
    marker.extend_from_slice(&checksum.to_le_bytes());
    marker
}

fn decode<const N: usize>(marker: &[u8]) -> Option<[u64; N]> {
    let (values, _) = marker.as_chunks();
    let values = values.iter().map(|bytes| u64::from_le_bytes(*bytes)).take(N);
    let values: [u64; N] = values.collect::<Vec<_>>().try_into().ok()?;
    (encode(&values) == marker).then_some(values)
}

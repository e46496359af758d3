//! The engine's manifests, read before the engine reads them.
//!
//! Each keyspace has a manifest of its tables, `v<number>`, and a file `current` that
//! holds that number and the manifest's checksum: XXH3 of 128 bits. The engine writes
//! the checksum but does not verify it: it believes whatever the manifest says, or
//! panics. A keyspace without `current` it removes, as one that was never finished.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use super::errors::{damaged, unavailable};
use crate::error::StoreResult;

/// A number, a checksum, and the kind of checksum.
const CURRENT_BYTES: usize = 8 + 16 + 1;
const XXH3: u8 = 0;

/// Holds the manifests of the engine in `engine` to their checksums.
pub(super) fn check(directory: &Path, engine: &Path) -> StoreResult<()> {
    let failed = |error: io::Error| unavailable(directory, "cannot read the manifests of", &error);
    let entries = match fs::read_dir(engine.join("keyspaces")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(directory, "its keyspaces are gone"));
        }
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let keyspace = entry.map_err(failed)?.path();
        if keyspace.is_dir() && !is_whole(&keyspace).map_err(failed)? {
            let what = format!("the manifest of {} cannot be read", keyspace.display());
            return Err(damaged(directory, &what));
        }
    }
    Ok(())
}

fn is_whole(keyspace: &Path) -> io::Result<bool> {
    let Some(current) = read(&keyspace.join("current"))? else { return Ok(false) };
    let Ok(current) = <[u8; CURRENT_BYTES]>::try_from(current) else { return Ok(false) };
    let (number, rest) = current.split_at(8);
    let (checksum, kind) = rest.split_at(16);
    let number = number.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let Some(manifest) = read(&keyspace.join(format!("v{number}")))? else { return Ok(false) };
    let mut hash = Xxh3::new();
    hash.update(&manifest);
    Ok(kind == [XXH3] && checksum == hash.digest128().to_le_bytes())
}

/// The content of a file, where there is one.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    match File::open(path).and_then(|mut file| file.read_to_end(&mut content)) {
        Ok(_) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

//! The engine's journals, read before the engine reads them.
//!
//! While it opens, the engine cuts a journal off at the first entry that makes no
//! sense, and refuses one whose checksum is wrong; neither tells the torn end that a
//! crash leaves from damage. It also trusts the sequence number of a write, which no
//! checksum covers: a wrong one makes it skip the write, or order it wrongly. So:
//!
//! - Sealed journals were whole when they were sealed, and must be.
//! - The last journal may be torn. It is cut after its last whole write, and the
//!   [`EngineMarker`](super::marker::EngineMarker) tells whether something
//!   acknowledged went with that; what is cut is kept until then.
//! - Unless the store was closed, the last journal may be whole in memory alone: its end
//!   was never synced, or an fsync that failed gave it up, and a later one would not
//!   bring it to the disk. So it is written again before anything rests on it.
//! - Sequence numbers ascend over all journals.
//!
//! A write is a start (item count, sequence number), its items, and an end (XXH3 of the
//! items, magic). An item is a row, or says that a keyspace was cleared. Lengths and numbers are little-endian.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::errors::{damaged, unavailable};
use super::torn_end::{TornEnd, end_of_contents, renew};
use crate::error::StoreResult;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: [u8; 4] = [b'F', b'J', b'L', 3];

/// Of a clearing, after its tag: the keyspace.
const CLEAR_BYTES: usize = 8;

/// Of a row, after its tag: type, compression, keyspace, lengths of key, value, and
/// value as stored.
const ITEM_HEAD_BYTES: usize = 1 + 1 + 8 + 2 + 4 + 4;

/// Holds the journals of the engine in `engine` to what is said above; tells what it
/// had to cut.
pub(super) fn check(
    directory: &Path,
    engine: &Path,
    was_closed: bool,
) -> StoreResult<Option<TornEnd>> {
    let failed = |error: &io::Error| unavailable(directory, "cannot read the journals of", error);
    let journals = journals(engine).map_err(|error| failed(&error))?;
    let mut last_sequence = None;
    let mut last_cut = None;
    for (at, path) in journals.iter().enumerate() {
        let scanned = scan(path, last_sequence).map_err(|error| failed(&error))?;
        let shown = path.display();
        if !scanned.ascending {
            let what =
                format!("the journal {shown} has a write out of order at {}", scanned.whole_bytes);
            return Err(damaged(directory, &what));
        }
        last_sequence = scanned.last_sequence;
        let is_last = at + 1 == journals.len();
        if !scanned.is_whole && !is_last {
            let what =
                format!("the journal {shown} cannot be read from {} on", scanned.whole_bytes);
            return Err(damaged(directory, &what));
        }
        if is_last && !was_closed {
            let failed = |error| unavailable(directory, "cannot sync the journal of", &error);
            renew(path, scanned.whole_bytes).map_err(failed)?;
        }
        if !scanned.is_whole {
            tracing::warn!(journal = %shown, kept_bytes = scanned.whole_bytes, "a torn journal is cut");
            let failed = |error| unavailable(directory, "cannot cut the journal of", &error);
            last_cut = Some(TornEnd::make(directory, path, scanned.whole_bytes).map_err(failed)?);
        }
    }
    Ok(last_cut)
}

/// How far a journal can be read, and whether all of it can.
struct JournalScan {
    /// Where the last whole write ends.
    whole_bytes: u64,
    /// Nothing follows but the zeros that the file was extended by.
    is_whole: bool,
    ascending: bool,
    last_sequence: Option<u64>,
}

/// The journals in the order they were written in.
fn journals(engine: &Path) -> io::Result<Vec<PathBuf>> {
    let mut journals = Vec::new();
    let entries = match fs::read_dir(engine) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl"));
        if let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) {
            journals.push((number, path));
        }
    }
    journals.sort();
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

fn scan(path: &Path, mut last_sequence: Option<u64>) -> io::Result<JournalScan> {
    let mut journal = BufReader::with_capacity(1 << 16, File::open(path)?);
    let (mut whole, mut ascending) = (0, true);
    while let Some((sequence, bytes)) = read_write(&mut journal)? {
        ascending = last_sequence.is_none_or(|last| last < sequence);
        if !ascending {
            break;
        }
        last_sequence = Some(sequence);
        whole += bytes;
    }
    let is_whole = end_of_contents(&File::open(path)?, whole)? == whole;
    Ok(JournalScan { whole_bytes: whole, is_whole, ascending, last_sequence })
}

/// The sequence number of the next write and its length; `None` where none is whole.
fn read_write(journal: &mut impl Read) -> io::Result<Option<(u64, u64)>> {
    let Some([START]) = take(journal)? else { return Ok(None) };
    let Some(count) = take(journal)?.map(u32::from_le_bytes) else { return Ok(None) };
    let Some(sequence) = take(journal)?.map(u64::from_le_bytes) else { return Ok(None) };
    let mut bytes = 1 + 4 + 8;
    let mut hash = Xxh3::new();
    for _ in 0..count {
        let Some(tag) = take::<1>(journal)? else { return Ok(None) };
        hash.update(&tag);
        let contents = match tag {
            [ITEM] => {
                let Some(head) = take::<ITEM_HEAD_BYTES>(journal)? else { return Ok(None) };
                hash.update(&head);
                let key = u16::from_le_bytes([head[10], head[11]]);
                let value = u32::from_le_bytes([head[16], head[17], head[18], head[19]]);
                bytes += ITEM_HEAD_BYTES as u64;
                u64::from(key) + u64::from(value)
            }
            [CLEAR] => CLEAR_BYTES as u64,
            _ => return Ok(None),
        };
        if hash_exactly(journal, contents, &mut hash)?.is_none() {
            return Ok(None);
        }
        bytes += 1 + contents;
    }
    let Some([END]) = take(journal)? else { return Ok(None) };
    let Some(checksum) = take(journal)?.map(u64::from_le_bytes) else { return Ok(None) };
    let is_whole = checksum == hash.digest() && take(journal)? == Some(MAGIC);
    bytes += 1 + 8 + MAGIC.len() as u64;
    Ok(is_whole.then_some((sequence, bytes)))
}

/// The next bytes; `None` at the end.
fn take<const N: usize>(journal: &mut impl Read) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    match journal.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Hashes so many bytes; `None` where there are fewer.
fn hash_exactly(journal: &mut impl Read, length: u64, hash: &mut Xxh3) -> io::Result<Option<()>> {
    let mut rest = journal.take(length);
    let mut block = [0; 1 << 13];
    let mut hashed = 0;
    while hashed < length {
        match rest.read(&mut block)? {
            0 => return Ok(None),
            read => {
                hash.update(&block[..read]);
                hashed += read as u64;
            }
        }
    }
    Ok(Some(()))
}
